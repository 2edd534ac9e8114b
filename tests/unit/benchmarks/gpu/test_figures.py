"""Figures, their bars, and the table of a run."""

from __future__ import annotations

import json

import pytest

from benchmarks.gpu.figures import Figure, PartResult, results_table


@pytest.mark.parametrize(
    ("figure", "ratio", "holds"),
    [
        (Figure("rate", 95, "images/s", 100, least_ratio=0.9), 0.95, True),
        (Figure("rate", 85, "images/s", 100, least_ratio=0.9), 0.85, False),
        (Figure("alone", 5.0, "ms", 4.0, at_most=5.5), 1.25, True),
        (Figure("alone", 5.6, "ms", 4.0, at_most=5.5), 1.4, False),
        (Figure("failed", 0, "of 10", at_most=0), None, True),
        (Figure("memory", 700, "MiB"), None, None),
        (Figure("nvJPEG", None, "images/s", 10, least_ratio=1), None, None),
    ],
)
def test_a_bar_is_for_the_ratio_or_for_the_value(figure: Figure, ratio: float | None, holds: bool | None) -> None:
    """What was not measured holds no bar and misses none."""
    assert figure.ratio == pytest.approx(ratio)
    assert figure.holds is holds


def test_a_part_that_did_not_end_well_has_a_row_that_says_so() -> None:
    """After the figures that it found before."""
    results = [
        PartResult("serving", "stopped after 60 s", 60.0, [Figure("rate", 5400, "images/s", 6000, least_ratio=0.9)]),
        PartResult("swap", "done", 1.0, [Figure("swap", 0.5, "s", note="100 images per second")]),
    ]
    assert results_table(results).splitlines()[2:] == [
        "| serving | rate | 5,400 images/s | 6,000 | 0.90 | at least 0.9 x: holds |",
        "| serving | stopped after 60 s |  |  |  |  |",
        "| swap | swap | 0.5 s |  |  | 100 images per second |",
    ]


def test_results_are_json() -> None:
    """With the ratio and what became of the bar."""
    found = json.loads(json.dumps(PartResult("a", "done", 1.234, [Figure("rate", 9, "x", 10, 0.5)]).as_json()))
    assert (found["took_s"], found["figures"][0]["ratio"], found["figures"][0]["holds"]) == (1.2, 0.9, True)
