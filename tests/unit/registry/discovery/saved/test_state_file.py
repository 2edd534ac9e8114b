"""The last good snapshots on disk: what is read back, and what is ignored."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.discovery.saved.saved_snapshot import SavedSnapshot
from registry.discovery.saved.state_file import load, save
from registry.discovery.snapshot import Snapshot
from registry.instances.instance import Health, Instance

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


def entry(**fields: object) -> dict[str, object]:
    """An entry of the file; `instance` replaces fields of its instance."""
    instance = {"service": "classify", "id": "a", "host": "10.0.0.1", "port": 9001, "weight": 1, "version": "1"}
    instance |= {"tags": ["p2p"], "boot": "b", "health": "passing", "meta": {}}
    instance |= dict(fields.pop("instance", {}))  # type: ignore[call-overload]  # a dict where it is given
    whole = {"service": "classify", "index": 7, "confirmed_at": 1.0, "proven": ["a"], "instances": [instance]}
    return whole | fields


def write(path: Path, *entries: object) -> None:
    path.write_text(json.dumps({"format": 2, "consul": CONSUL, "services": entries}))


@pytest.mark.parametrize(
    "damaged",
    [
        entry(index=math.inf), entry(index="7"), entry(index=True), entry(confirmed_at=math.nan),
        entry(confirmed_at=math.inf), entry(confirmed_at=-1e308), entry(confirmed_at="x"), entry(proven="abc"),
        entry(proven=[None]), entry(service=5), entry(service=[1]), entry(instances=None), entry(instances=["a"]),
        entry(instance={"port": None}), entry(instance={"host": 5}), entry(instance={"weight": math.inf}),
        entry(instance={"tags": "abc"}), entry(instance={"health": "x"}), entry(instance={"meta": [1]}),
        entry(instance={"id": [1]}), entry(instance={"version": 5}), None, 7,
    ],
)  # fmt: skip
def test_a_file_with_an_impossible_value_is_set_aside(
    tmp_path: Path, damaged: object, caplog: pytest.LogCaptureFixture
) -> None:
    """The start goes on without it, the log says where it is now, and nothing overwrites it."""
    path = tmp_path / "state.json"
    write(path, damaged)
    assert load(path, consul=CONSUL) == {}
    content = path.read_text()
    save(path, [SavedSnapshot(SNAPSHOT, 123.5)], consul=CONSUL)
    assert (tmp_path / "state.json.damaged").read_text() == content
    assert "state.json.damaged" in caplog.text


def test_numbers_too_large_for_any_type_are_damage(tmp_path: Path) -> None:
    """1e400 is infinite to Python, and 10,000 digits are no number to it."""
    path = tmp_path / "state.json"
    for number in ("1e400", "9" * 10_000):
        write(path, entry(index="@"))
        path.write_text(path.read_text().replace('"@"', number))
        assert load(path, consul=CONSUL) == {}


@pytest.mark.parametrize(
    "unusable",
    [{"host": "a b"}, {"host": "a\r\nb"}, {"port": 70_000}, {"boot": "a\r\nb"}, {"id": "\x1b[2J"}],
)
def test_an_instance_that_cannot_be_used_is_left_out(tmp_path: Path, unusable: dict[str, object]) -> None:
    """What could not enter by Consul's answer cannot enter by the file; the rest of the file can."""
    path = tmp_path / "state.json"
    write(path, entry(instance=unusable), entry(service="other"))
    saved = load(path, consul=CONSUL)
    assert saved["classify"].snapshot.instances == ()
    assert len(saved["other"].snapshot.instances) == 1


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)])
def test_what_is_no_file_is_no_state(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A FIFO does not block the start; a folder, or a link to itself, does not end it."""
    path = tmp_path / "state.json"
    make(path)
    assert load(path, consul=CONSUL) == {}
