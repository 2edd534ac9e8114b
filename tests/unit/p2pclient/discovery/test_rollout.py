"""What a client makes of a record of a split is what the lookup service makes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from p2pclient.discovery.rollout import Record, decide, read_record
from p2pclient.types import Rollout, Worker
from registry.discovery.rotations.split_rotation import present
from registry.instances.instance import Health, Instance
from registry.rollout import record, shares

in_moderation = settings(max_examples=80, deadline=None)
VERSIONS = ("3", "4", "5", "")
HEALTHS = ("passing", "warning", "critical")

numbers = st.one_of(st.integers(-1, 3), st.sampled_from([10_000, 10_001, 0.5, 100, 101.0, True, None, "1"]))
weights = st.one_of(st.dictionaries(st.sampled_from([*VERSIONS, "v" * 65, "a\nb"]), numbers, max_size=3), numbers)
records = st.fixed_dictionaries({}, optional={"split": weights, "shadows": weights, "former": weights, "new": numbers})


@in_moderation
@given(records.map(lambda found: json.dumps(found).encode()))
@example(b"")
@example(b"[]")
@example(b"\xff")
@example(b"[" * 100_000)
@example(b'{"split": {"3": ' + b"9" * 5000 + b"}}")
@example(b'{"shadows": {"3": NaN}}')
@example(b'{"shadows": {"3": 1e400}}')
@example(json.dumps({"split": {str(version): 1 for version in range(17)}}).encode())
@example(b'{"split": {"3": 1}}' + b" " * record.RECORD_AT_MOST_BYTES)
def test_a_record_is_read_as_the_lookup_service_reads_it(value: bytes) -> None:
    try:
        expected = record.read(value)
    except ValueError:
        with pytest.raises(ValueError, match=r"\w"):
            read_record(value)
        return
    assert read_record(value) == Record(expected.split, expected.shadows)


members = st.lists(st.tuples(st.sampled_from(VERSIONS), st.integers(1, 5), st.sampled_from(HEALTHS)), max_size=6)
splits = st.dictionaries(st.sampled_from(VERSIONS[:3]), st.integers(0, 3), max_size=3)
shadows = st.dictionaries(st.sampled_from(VERSIONS[:3]), st.floats(1, 100), max_size=2)


@in_moderation
@given(members, splits.filter(lambda split: not split or any(split.values())), shadows)
def test_shares_are_those_of_the_lookup_service(
    fleet: list[tuple[str, int, str]], split: dict[str, int], copies: dict[str, float]
) -> None:
    """Also where versions have no healthy worker, or no version has one, and all workers are used."""
    workers = [Worker("s", str(n), "h", 1, v, weight=w, health=state) for n, (v, w, state) in enumerate(fleet)]
    instances = [
        Instance(w.service, w.id, w.host, w.port, version=w.version, weight=w.weight, health=Health(w.health))
        for w in workers
    ]
    expected = shares.shares(record.Rollout(split, copies), present(instances))
    said = decide(Record(split, copies), workers, [replace(worker, health="warning") for worker in workers])
    in_force = bool(split or copies)
    assert said == (Rollout(split, copies, expected.weights, expected.absent) if in_force else None)
