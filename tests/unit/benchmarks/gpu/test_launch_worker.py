"""What a launched worker has switched off is there to be switched off."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'p2p-serving[torch]'")

from benchmarks.gpu import launch_worker


@pytest.mark.parametrize("switch", launch_worker.SWITCHES)
def test_a_switch_replaces_what_the_worker_calls(switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that is renamed must not leave a benchmark behind that measures nothing."""
    replaced: list[str] = []

    def record(owner: Any, name: str, value: Any) -> None:
        assert callable(getattr(owner, name))
        assert callable(value)
        replaced.append(name)

    monkeypatch.setattr(launch_worker, "_replace", record)
    launch_worker.SWITCHES[switch]()
    assert replaced
