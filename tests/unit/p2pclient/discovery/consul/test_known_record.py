"""Which record holds after an answer of Consul's."""

from __future__ import annotations

import pytest

from p2pclient.discovery.consul.known_record import KnownRecord, reconcile
from p2pclient.discovery.consul.record_entry import Entry
from p2pclient.discovery.rollout import Record

OLD, NEW, ODD = b'{"split": {"3": 1}}', b'{"split": {"4": 1}}', b"odd"
THREE, FOUR = Record({"3": 1}), Record({"4": 1})
KNOWN = KnownRecord(THREE, OLD, index=7)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Entry(7, OLD), KNOWN),
        (Entry(9, NEW), KnownRecord(FOUR, NEW, index=9)),
        (Entry(9, None), KnownRecord(THREE, None, index=9, warning="Consul shows no record of the split any more")),
        (Entry(9, ODD), KnownRecord(THREE, ODD, index=9, warning="the record of the split in Consul cannot be used")),
        # An agent that lost its data, or the leader: asked again at once, not in a minute, and not believed by then.
        (Entry(3, None), KnownRecord(THREE, OLD, index=0, believed=False)),
        (Entry(3, NEW), KnownRecord(THREE, OLD, index=0, believed=False)),
        (Entry(9, NEW, current=False), KnownRecord(THREE, OLD, index=0, believed=False)),
        (Entry(3, OLD), KnownRecord(THREE, OLD, index=0)),
    ],
)
def test_which_record_holds(said: Entry, expected: KnownRecord) -> None:
    """The last one that was read, until a good one comes in a sound answer."""
    found = reconcile(KNOWN, said)
    assert found.warning.startswith(expected.warning)
    assert bool(found.warning) == bool(expected.warning)
    assert (found.record, found.value, found.index, found.believed) == (
        *(expected.record, expected.value, expected.index, expected.believed),
    )


def test_the_first_record_is_taken_from_any_agent() -> None:
    """There is none that a doubtful answer could end."""
    assert reconcile(KnownRecord(), Entry(5, OLD, current=False)) == KnownRecord(THREE, OLD, index=5)
    assert reconcile(KnownRecord(index=7), Entry(5, OLD)) == KnownRecord(THREE, OLD, index=0)


def test_an_entry_that_cannot_be_read_is_warned_of_once() -> None:
    """The next answer with the same entry says nothing new."""
    first = reconcile(KnownRecord(), Entry(5, ODD))
    assert "there is no split: it is no JSON" in first.warning
    assert reconcile(first, Entry(5, ODD)).warning == ""
