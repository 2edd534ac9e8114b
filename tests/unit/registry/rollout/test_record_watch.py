"""What a lookup service makes of the records that Consul shows: the last good ones hold."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest

from registry.consul.key_value import Entries, KeyValue
from registry.consul.settings import ConsulSettings
from registry.rollout.record import Rollout, written
from registry.rollout.record_watch import RecordWatch


@pytest.fixture
def seen() -> list[Mapping[str, Rollout]]:
    return []


@pytest.fixture
def watch(seen: list[Mapping[str, Rollout]]) -> RecordWatch:
    return RecordWatch(KeyValue(ConsulSettings()), seen.append)


def test_only_what_has_changed_is_told(watch: RecordWatch, seen: list[Mapping[str, Rollout]]) -> None:
    watch.take(Entries(1, {}, missing=True))
    assert seen == []
    entries = {"a": written(Rollout({"1": 1})), "b": written(Rollout({"2": 1}))}
    watch.take(Entries(2, entries))
    watch.take(Entries(3, entries))
    assert seen == [{"a": Rollout({"1": 1}), "b": Rollout({"2": 1})}]


def test_what_is_lost_or_unreadable_holds(
    watch: RecordWatch, seen: list[Mapping[str, Rollout]], caplog: pytest.LogCaptureFixture
) -> None:
    """Each with one warning; an empty record, which is what p2p split --off writes, ends a split."""
    caplog.set_level(logging.WARNING)
    watch.take(Entries(1, {"a": written(Rollout({"1": 1})), "b": b"{"}))
    watch.take(Entries(2, {"a": b"{"}))
    watch.take(Entries(3, {"a": b"{"}))
    watch.take(Entries(4, {}, missing=True))
    watch.take(Entries(5, {}, missing=True))
    assert seen == [{"a": Rollout({"1": 1})}]
    assert [record.getMessage()[:60] for record in caplog.records] == [
        "The record p2p-serving/rollouts/b in Consul cannot be used, ",
        "Consul shows no record of the roll-out of b any more: the la",
        "The record p2p-serving/rollouts/a in Consul cannot be used, ",
        "Consul shows no record of the roll-out of a any more: the la",
    ]
    watch.take(Entries(6, {"a": written(Rollout())}))
    assert not seen[-1]["a"].in_force
