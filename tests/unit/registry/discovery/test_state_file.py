"""The last good snapshots on disk: what is read back, and what is ignored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry.consul.instance import Health, Instance
from registry.discovery.snapshot import Snapshot
from registry.discovery.state_file import SavedSnapshot, load, save

CONSUL = "http://127.0.0.1:8500"
WORKER = Instance("classify", "a", "10.0.0.1", 9001, tags=("p2p",), health=Health.WARNING, meta={"boot": "b"})
SNAPSHOT = Snapshot("classify", (WORKER,), index=7, proven=frozenset({"a"}), stale=True, known=True)


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    """A snapshot survives unchanged, with the time of its confirmation; it is stale until Consul confirms it."""
    path = tmp_path / "new" / "state.json"
    save(path, [SavedSnapshot(SNAPSHOT, 123.5)], consul=CONSUL)
    assert load(path, consul=CONSUL) == {"classify": SavedSnapshot(SNAPSHOT, 123.5)}


def test_the_file_of_another_consul_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A lookup service that is pointed to another Consul, which is down, must not hand out the old one's workers."""
    path = tmp_path / "state.json"
    save(path, [SavedSnapshot(SNAPSHOT, 123.5)], consul=CONSUL)
    assert load(path, consul="http://10.0.0.9:8500") == {}
    assert CONSUL in caplog.text


@pytest.mark.parametrize(
    "content", ["", "[]", "7", "{}", '{"format": 2}', "[" * 100_000, '{"format": 1, "services": []}']
)
def test_a_damaged_file_is_ignored(tmp_path: Path, content: str) -> None:
    """Whatever is in the file, the start goes on without it."""
    path = tmp_path / "state.json"
    path.write_text(content)
    assert load(path, consul=CONSUL) == {}
    path.write_text(json.dumps({"format": 2, "consul": CONSUL, "services": [{"service": "x"}]}))
    assert load(path, consul=CONSUL) == {}


def test_a_missing_file_is_no_state(tmp_path: Path) -> None:
    """The first start has nothing to read."""
    assert load(tmp_path / "none", consul=CONSUL) == {}
