"""How many cores a process may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.system.cpu import processor, usable_cores


@pytest.mark.parametrize(
    ("text", "most"), [("max 100000", 10**6), ("50000 100000", 1), ("150000 100000", 2), ("", 10**6)]
)
def test_a_containers_quota_bounds_the_cores(tmp_path: Path, text: str, most: int) -> None:
    """No more cores than the container may use, rounded up, and no fewer than one."""
    (tmp_path / "cpu.max").write_text(text)
    assert 1 <= usable_cores(tmp_path / "cpu.max") <= most
    assert "cores" in processor()
