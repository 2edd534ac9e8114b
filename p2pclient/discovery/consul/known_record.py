"""Decides from an answer about the record of a split, and from what was known, which record holds; pure.

Neither a missing entry nor one that cannot be read ends a split: commands never remove an entry, so that one that is
missing is one that Consul has lost. An agent that lost its data, or the leader, answers from another time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from p2pclient.discovery.consul.blocking_query import next_index
from p2pclient.discovery.consul.record_entry import Entry
from p2pclient.discovery.rollout import Record, read_record


@dataclass(frozen=True, slots=True)
class KnownRecord:
    """The record that holds, an empty one while none is known; `index` goes with the next question.

    `value` is what the last believed answer held. Of the last answer say `believed` whether it was believed at all, and
    `warning`, if there is one, why it changes nothing.
    """

    record: Record = field(default_factory=Record)
    value: bytes | None = None
    index: int = 0
    believed: bool = True
    warning: str = ""


def reconcile(known: KnownRecord, said: Entry) -> KnownRecord:
    """What is known after an answer."""
    suspicious = said.index < known.index or not said.current
    if suspicious and known.value is not None and said.value != known.value:
        return replace(known, index=0, believed=False, warning="")  # to be asked again: the next answer may be sound
    after = replace(known, value=said.value, index=next_index(known.index, said.index), believed=True, warning="")
    if said.value == known.value:
        return after
    if said.value is None:
        return replace(
            after, warning="Consul shows no record of the split any more: the last one holds (p2p split ends a split)"
        )
    try:
        return replace(after, record=read_record(said.value))
    except ValueError as error:
        kept = "the last good one holds" if known.record != Record() else "there is no split"
        return replace(after, warning=f"the record of the split in Consul cannot be used, {kept}: {error}")
