"""A transition: one service before and after an answer of the backend, for those who tell what has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from registry.discovery.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Transition:
    """From the snapshot `old` to `new`. `trouble`: why the backend could not be asked, "" where it could.

    `datacenter` is "" for that of our own agent. `split` states the split and the shadows where they have changed, else
    it is "". `product` is the make of the backend.
    """

    old: Snapshot
    new: Snapshot
    trouble: str = ""
    datacenter: str = ""
    split: str = ""
    product: str = "Consul"


Observe = Callable[[Transition], None]
"""Is called after each transition that changes what is answered, the split, or whether the backend confirms the set."""


def ignore(_: Transition) -> None:
    """Observe nothing."""
