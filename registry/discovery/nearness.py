"""How near the nodes of this datacenter are to one of them, by Consul's network coordinates.

The coordinates are asked for when somebody wants to know, and kept for a while: they change slowly, and Consul's
servers themselves take them up every few seconds only.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterable, Mapping

from registry.backend.coordinate import Coordinate, round_trip_s
from registry.backend.source import Source
from registry.instances.instance import Instance
from registry.runtime.errors import RegistryError

KEPT_S = 30.0
"""How long coordinates are used before Consul is asked again."""

EQUALLY_NEAR_S = 0.001
"""Round-trip times that differ by less count as equal, so that equally near workers share the requests."""

AGENT = "_agent"
"""Stands for the node of the lookup service's own Consul agent, as in Consul's API."""


class UnknownNode(Exception):
    """Consul has no coordinates for a node of this name; `known` are those for which it has some."""

    def __init__(self, node: str, known: list[str]) -> None:
        super().__init__(node)
        self.known = known


class Nearness:
    """The coordinates of the nodes that one source knows."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._coordinates: Mapping[str, Coordinate] = {}
        self._agent = ""
        self._until_s = -math.inf
        self._asking = asyncio.Lock()
        self._chance = random.Random()

    async def nearest_first(self, instances: Iterable[Instance], node: str) -> list[Instance]:
        """The instances by the distance of their nodes from `node`; equally near ones in random order, by weight.

        Those without a coordinate come last. Raises UnknownNode, and where Consul has never answered a RegistryError.
        """
        await self._refresh()
        name = self._agent if node == AGENT else node
        here = self._coordinates.get(name)
        if here is None:
            raise UnknownNode(name, sorted(self._coordinates))

        def steps(instance: Instance) -> float:
            if instance.node == name:
                return 0.0
            there = self._coordinates.get(instance.node)
            return math.inf if there is None else round_trip_s(here, there) // EQUALLY_NEAR_S

        return sorted(instances, key=lambda each: (steps(each), self._chance.expovariate(each.weight)))

    async def _refresh(self) -> None:
        """Ask the backend where that is due; while it does not answer, the last coordinates stay in use."""
        async with self._asking:
            if time.monotonic() < self._until_s:
                return
            try:
                self._coordinates = await self._source.coordinates()
                self._agent = self._agent or await self._source.node_name()
            except RegistryError:
                if not self._coordinates:
                    raise
            self._until_s = time.monotonic() + KEPT_S
