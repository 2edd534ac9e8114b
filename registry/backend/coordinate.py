"""Network coordinates, from which Consul estimates the round-trip time between two nodes of a datacenter. Pure.

The estimate is that of Consul's own library (hashicorp/serf, coordinate.Coordinate.DistanceTo).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Coordinate:
    """Where a node is: `vector`, `height` and `adjustment` in seconds."""

    vector: tuple[float, ...]
    height: float = 0.0
    adjustment: float = 0.0


def read_coordinates(entries: Iterable[Mapping[str, Any]]) -> dict[str, Coordinate]:
    """The coordinates of `/v1/coordinate/nodes` by node, of the network's default segment.

    Raises KeyError, TypeError or ValueError where an entry is not of Consul's form.
    """
    found = {}
    for entry in entries:
        if not entry.get("Segment"):
            place = entry["Coord"]
            vector = tuple(float(value) for value in place["Vec"])
            found[entry["Node"]] = Coordinate(vector, float(place["Height"]), float(place["Adjustment"]))
    return found


def round_trip_s(one: Coordinate, other: Coordinate) -> float:
    """The estimated round-trip time between two nodes; infinite where they cannot be compared."""
    if len(one.vector) != len(other.vector):
        return math.inf
    raw_s = math.dist(one.vector, other.vector) + one.height + other.height
    adjusted_s = raw_s + one.adjustment + other.adjustment
    return adjusted_s if adjusted_s > 0 else raw_s
