"""The damaged state files: each differs by its damage only from one that is read."""

from __future__ import annotations

from pathlib import Path

from benchmarks.attack.kinds.numbers import state, state_files
from benchmarks.attack.targets import SERVICE, Targets
from registry.discovery.saved.state_file import load

TARGETS = Targets(agent=1, relay=2, lookup=3, dns=4, proxy=5, workers=(6,))


def test_the_undamaged_file_is_read(tmp_path: Path) -> None:
    """Otherwise an attack would show only that something else is wrong with all of them."""
    path = tmp_path / "state.json"
    path.write_text(state(TARGETS))
    assert list(load(path, consul="http://127.0.0.1:2")) == [SERVICE]
    assert state(TARGETS) not in state_files(TARGETS).values()
