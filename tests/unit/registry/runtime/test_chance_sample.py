"""A part of many requests is chosen, by known dice."""

from __future__ import annotations

import random

import pytest

from registry.runtime.chance_sample import ChanceSample


@pytest.mark.parametrize(("part", "chosen"), [(1.0, 1000), (0.0, 0), (2.0, 1000)])
def test_all_or_none_need_no_dice(part: float, chosen: int) -> None:
    """The ends are exact."""
    sample = ChanceSample(part)
    assert sum(sample.wants() for _ in range(1000)) == chosen


@pytest.mark.parametrize("part", [0.5, 0.1, 0.01])
def test_the_part_is_met_in_the_long_run(part: float) -> None:
    """Within a tenth, for these dice."""
    sample = ChanceSample(part, dice=random.Random(7).random)
    assert sum(sample.wants() for _ in range(100_000)) == pytest.approx(part * 100_000, rel=0.1)
