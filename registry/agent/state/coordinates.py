"""Network coordinates: where each node stands in Vivaldi's space, as clients set it.

The agent is alone and measures no round trips, so its own node stays where Serf starts, until a client moves it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import dist, inf
from operator import itemgetter

from registry.agent.state.index import ChangeIndex, Topic, Undo

COORDINATES: Topic = ("coordinates", "")

DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A point: a vector of `DIMENSIONS` numbers and a height above it in seconds, with its error and adjustment."""

    vector: tuple[float, ...] = (0.0,) * DIMENSIONS
    error: float = 1.5
    adjustment: float = 0.0
    height: float = 1e-5


def round_trip_s(a: Coordinate | None, b: Coordinate | None) -> float:
    """The round trip that two coordinates predict, in seconds; infinite if either is missing.

    Source: DistanceTo in Serf's coordinate package.
    """
    if a is None or b is None:
        return inf
    raw_s = dist(a.vector, b.vector) + a.height + b.height
    adjusted_s = raw_s + a.adjustment + b.adjustment
    return adjusted_s if adjusted_s > 0 else raw_s


class Coordinates:
    """The coordinates of nodes, by node and network segment."""

    def __init__(self, changes: ChangeIndex) -> None:
        self._changes = changes
        self._coordinates: dict[tuple[str, str], Coordinate] = {}

    def set(self, node: str, segment: str, coordinate: Coordinate) -> None:
        """Set one coordinate; the one that is already there changes nothing."""
        if self._coordinates.get((node, segment)) != coordinate:
            self._coordinates[node, segment] = coordinate
            self._announce()

    def get(self, node: str) -> Coordinate | None:
        """A node's coordinate in the default segment, or None."""
        return self._coordinates.get((node, ""))

    def all(self) -> list[tuple[str, str, Coordinate]]:
        """Node, segment and coordinate of each, in order."""
        return [
            (node, segment, coordinate)
            for (node, segment), coordinate in sorted(self._coordinates.items(), key=itemgetter(0))
        ]

    def forget(self, nodes: Collection[str]) -> None:
        """Remove the coordinates of nodes that were removed."""
        keys = [key for key in self._coordinates if key[0] in nodes]
        for key in keys:
            del self._coordinates[key]
        if keys:
            self._announce()

    def index(self) -> int:
        """When a coordinate last changed."""
        return self._changes.at(COORDINATES) or 1

    def undo(self) -> Undo:
        """What puts all coordinates back to their present state."""
        coordinates = dict(self._coordinates)

        def restore() -> None:
            self._coordinates = coordinates

        return restore

    def _announce(self) -> None:
        self._changes.version += 1
        self._changes.next_index()
        self._changes.announce([COORDINATES])
