"""The splits through which a version comes to have all calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.rollout.promotion_plan import plan
from registry.rollout.record import Weights


@pytest.mark.parametrize(
    ("split", "steps", "expected"),
    [
        ({"3": 100}, 4, [{"3": 75, "4": 25}, {"3": 50, "4": 50}, {"3": 25, "4": 75}, {"4": 100}]),
        ({"3": 100}, 1, [{"4": 100}]),
        ({"3": 90, "4": 10}, 2, [{"3": 45, "4": 55}, {"4": 100}]),
        ({"2": 2, "3": 1, "4": 0}, 3, [{"2": 45, "3": 22, "4": 33}, {"2": 22, "3": 11, "4": 67}, {"4": 100}]),
        ({"3": 2, "4": 98}, 5, [{"3": 2, "4": 98}, {"3": 1, "4": 99}, {"4": 100}]),
        ({}, 3, [{"4": 100}]),
    ],
)
def test_plan(split: Weights, steps: int, expected: list[Weights]) -> None:
    assert plan(split, "4", steps=steps) == expected


@given(st.dictionaries(st.sampled_from(["1", "2", "3", "4"]), st.integers(1, 10_000), min_size=1), st.integers(1, 30))
def test_every_step_is_a_hundred_percent_and_none_takes_anything_away(split: Weights, steps: int) -> None:
    shares = [weights["4"] for weights in plan(split, "4", steps=steps)]
    assert shares == sorted(shares)
    assert shares[-1] == 100
    assert len(shares) <= steps
    assert all(sum(weights.values()) == 100 and min(weights.values()) > 0 for weights in plan(split, "4", steps=steps))
