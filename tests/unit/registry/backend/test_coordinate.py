"""Consul's network coordinates: what its answer says, and how far two nodes are apart."""

from __future__ import annotations

import math

import pytest

from registry.backend.coordinate import Coordinate, read_coordinates, round_trip_s


def test_an_answer_is_read_and_other_segments_are_left_out() -> None:
    """Vec, Height and Adjustment of each node of the default segment."""
    entries = [
        {"Node": "a", "Segment": "", "Coord": {"Vec": [0, 0.3], "Error": 1.5, "Height": 0.01, "Adjustment": -0.002}},
        {"Node": "b", "Segment": "beta", "Coord": {"Vec": [0, 0], "Error": 1.5, "Height": 0.01, "Adjustment": 0}},
    ]
    assert read_coordinates(entries) == {"a": Coordinate((0.0, 0.3), 0.01, -0.002)}


@pytest.mark.parametrize(
    ("one", "other", "apart_s"),
    [
        (Coordinate((0, 0), 0.001), Coordinate((0.003, 0.004), 0.002), 0.008),
        (Coordinate((0, 0), 0.001, 0.001), Coordinate((0.003, 0.004), 0.002, 0.002), 0.011),
        (Coordinate((0, 0), 0.001, -0.005), Coordinate((0.003, 0.004), 0.002, -0.005), 0.008),
        (Coordinate((0, 0)), Coordinate((0, 0, 0)), math.inf),
    ],
)
def test_the_round_trip_is_estimated_as_consul_does(one: Coordinate, other: Coordinate, apart_s: float) -> None:
    """Distance and heights, with the adjustments unless they make it negative; dimensions must agree."""
    assert round_trip_s(one, other) == pytest.approx(apart_s)
    assert round_trip_s(other, one) == pytest.approx(apart_s)
