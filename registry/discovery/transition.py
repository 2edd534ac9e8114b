"""A transition: one service before and after an answer of Consul, for those who tell what has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from registry.discovery.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Transition:
    """From the snapshot `old` to `new`. `trouble`: why Consul could not be asked, "" where it could.

    `datacenter` is "" for that of our own agent. `split` states the split and the shadows where they have changed, else
    it is "".
    """

    old: Snapshot
    new: Snapshot
    trouble: str = ""
    datacenter: str = ""
    split: str = ""


Observe = Callable[[Transition], None]
"""Is called after each transition that changes what is answered, the split, or whether Consul confirms the set."""


def ignore(_: Transition) -> None:
    """Observe nothing."""
