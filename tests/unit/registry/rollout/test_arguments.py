"""What is given to `p2p split` and `p2p promote` is read, or refused with a sentence that says what can be given."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from registry.rollout.arguments import percents, seconds, weights
from registry.runtime.errors import SettingsError


def test_arguments_are_read() -> None:
    assert weights(["3=90", "v=2=10"]) == {"3": 90, "v=2": 10}
    assert percents(["4=5%", "5=0.5"]) == {"4": 5.0, "5": 0.5}
    assert [seconds(text) for text in ("90", "500ms", "10m", "1.5h")] == [90, 0.5, 600, 5400]


@pytest.mark.parametrize(
    ("read", "given", "sentence"),
    [
        (weights, ["3"], "'3' names no version: write VERSION=NUMBER, as in 3=90."),
        (weights, ["=3"], "names no version"),
        (weights, ["3=90%"], "3=90% is no weight: give a whole number, as in 3=90 4=10."),
        (weights, ["3=1", "3=2"], "Version '3' is named twice."),
        (weights, ["3=0"], "The split cannot be used: no version has a weight above 0."),
        (weights, ["3=10001"], "give a whole number from 0 to 10000."),
        (percents, ["4=x"], "4=x is no shadow: give a percent of the calls, as in 4=5%."),
        (percents, ["4=101%"], "The shadows cannot be used: the shadow of version 4 is 101.0"),
        (seconds, "soon", "'soon' is no time: give one above 0 and up to 30 days, such as 90s, 10m or 2h."),
        (seconds, "0s", "is no time"),
        (seconds, "31h9", "is no time"),
        (seconds, "721h", "is no time"),
    ],
)
def test_what_cannot_be_read_is_refused(read: Callable[[object], object], given: object, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(given)
    assert sentence in str(refused.value)
