"""What a discovery backend says about the instances of one service at one moment, as a plain value."""

from __future__ import annotations

from dataclasses import dataclass

from registry.instances.instance import Instance
from registry.instances.usability import Unusable

LAST_CONTACT_LIMIT_MS = 10_000
"""A Consul agent whose server heard from the leader longer ago than this answers with old data."""


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """The instances of a service, and those that are `unusable`, both sorted.

    `index` grows with every change in the backend: Consul's index, or ZooKeeper's transaction id. One that is lower
    than before shows that the backend has lost data.

    `hidden`: no instance is named, and the backend was found to leave out what our credentials may not read (any more).
    """

    index: int
    instances: tuple[Instance, ...]
    known_leader: bool = True
    last_contact_ms: int = 0
    hidden: bool = False
    unusable: tuple[Unusable, ...] = ()

    @property
    def current(self) -> bool:
        """Whether it is complete, and from a server that heard from the leader recently."""
        return self.known_leader and self.last_contact_ms <= LAST_CONTACT_LIMIT_MS and not self.hidden
