"""The calls by which the lookup service reads a discovery backend: services, their instances, and where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from registry.backend.coordinate import Coordinate
from registry.backend.health_answer import HealthAnswer

WAIT_S = 55.0
"""How long a blocking query waits: below the minute after which proxies tend to cut idle connections."""

CALL_TIMEOUT_S = 10.0
"""For every call that is no blocking query; a leaderless Consul agent takes about 7 s to answer."""


class Source(Protocol):
    """A connection to the discovery backend at `url`, which is of the make `product`.

    `own_services` are those that the backend registers of itself: they have no workers, and a list of services without
    them is not the whole list. Every method but `has_leader` raises BackendUnavailable when no usable answer came,
    BackendRefused when the backend said no.
    """

    url: str
    product: str
    own_services: frozenset[str]

    async def health(self, service: str, *, index: int = 0, wait_s: float = WAIT_S) -> HealthAnswer:
        """All instances of a service with their health; waits for a change when `index` is given."""

    async def services(self, *, index: int = 0) -> tuple[int, Mapping[str, frozenset[str]]]:
        """The index, and the tags of every service that has instances, by name; waits for a change of `index`."""

    async def has_leader(self) -> bool:
        """Whether the backend's servers have a leader, as far as can be told at once; never raises."""

    async def datacenter(self) -> str:
        """The name of the backend's datacenter."""

    async def datacenters(self) -> list[str]:
        """The names of all datacenters, this one too, the nearest first."""

    async def node_name(self) -> str:
        """The name of the node of our own agent; "" where there is none."""

    async def coordinates(self) -> Mapping[str, Coordinate]:
        """The network coordinates of this datacenter's nodes, by name."""

    def hint(self, *, listed: bool, complete: bool) -> str:
        """Why a service may have no instances for us; "" if nothing is known.

        `listed`: the list of services names it. `complete`: that list was the whole list.
        """

    async def close(self) -> None:
        """Close the connections."""
