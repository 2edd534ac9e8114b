"""What was predicted while things were done to a fleet, as a table in Markdown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.machines.client_machine import WAYS, Tried


@dataclass
class Event:
    """What was done, and the predictions meanwhile."""

    name: str
    seconds: float = 0.0
    tried: Sequence[Tried] = ()

    def count(self, way: str) -> int:
        """How many predictions were tried in one way."""
        return sum(each.way == way for each in self.tried)

    def failures(self, way: str) -> list[str]:
        """Why predictions in one way failed."""
        return [each.failed for each in self.tried if each.way == way and each.failed]

    def summary(self) -> str:
        """How long it took, and each kind of failure with its number; those that differ in addresses are one kind."""
        lines = [f"{self.name}: {self.seconds:.0f} s"]
        for way in WAYS:
            found = Counter(re.sub(r"\d+(\.\d+){3}(:\d+)?", "ADDRESS", failed) for failed in self.failures(way))
            lines += [f"  {way}: {count} x {kind}" for kind, count in found.items()]
        return "\n".join(lines)


def table(events: Sequence[Event]) -> str:
    """A row for each event, and one for all."""
    head = ["event", "seconds", *(f"{way}: failed of tried" for way in WAYS)]
    rows = [head, ["---"] * len(head)]
    for event in events:
        shown = [f"{len(event.failures(way))} of {event.count(way):,}" for way in WAYS]
        rows.append([event.name, f"{event.seconds:.0f}", *shown])
    failed = {way: sum(len(event.failures(way)) for event in events) for way in WAYS}
    tried = {way: sum(event.count(way) for event in events) for way in WAYS}
    total = f"{sum(event.seconds for event in events):.0f}"
    rows.append(["**all**", total, *(f"{failed[way]} of {tried[way]:,}" for way in WAYS)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
