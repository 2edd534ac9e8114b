"""Which versions get calls: those of the split that have a healthy worker, in proportion."""

from __future__ import annotations

import pytest

from registry.rollout.record import Rollout, Weights
from registry.rollout.shares import Shares, absence, shares


@pytest.mark.parametrize(
    ("rollout", "present", "expected"),
    [
        (Rollout({"3": 90, "4": 10}), {"3": 1, "4": 7}, Shares({"3": 90, "4": 10})),
        (Rollout({"3": 90, "4": 10}), {"3": 1, "4": 1, "5": 9}, Shares({"3": 90, "4": 10})),
        (Rollout({"3": 80, "4": 10, "5": 10}), {"3": 1, "5": 1}, Shares({"3": 80, "5": 10}, ("4",))),
        (Rollout({"3": 1, "4": 0}), {"4": 1, "3": 1}, Shares({"3": 1})),
        # Nobody of the split is there: everybody but shadows, and shadows where nobody else is.
        (Rollout({"3": 1}), {"5": 2, "6": 4}, Shares({"5": 2, "6": 4}, ("3",))),
        (Rollout({"3": 1}, {"4": 5}), {"4": 1, "5": 2}, Shares({"5": 2}, ("3",))),
        (Rollout({"3": 1}, {"4": 5}), {"4": 1}, Shares({"4": 1}, ("3",))),
        # Shadows without a split: a version that is shadowed gets copies only.
        (Rollout({}, {"4": 5}), {"3": 2, "4": 2}, Shares({"3": 2})),
        (Rollout({}, {"4": 5}), {}, Shares({})),
    ],
)
def test_shares(rollout: Rollout, present: Weights, expected: Shares) -> None:
    assert shares(rollout, present) == expected


def test_fractions_add_up_to_one() -> None:
    assert Shares({"3": 90, "4": 10}).fractions == {"3": 0.9, "4": 0.1}


def test_an_absence_is_one_sentence() -> None:
    assert absence("flowers", ("4",), {"3": 1}) == (
        "Version 4 of flowers has a weight and no healthy worker: version 3 gets the calls."
    )
    assert absence("flowers", ("4", "5"), {"3": 1, "6": 1}) == (
        "Versions 4, 5 of flowers have a weight and no healthy worker: version 3, version 6 get the calls."
    )
    assert absence("flowers", ("4",), {}).endswith("nobody gets the calls.")
