"""Outputs and timings of several engines lead to a choice."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.engines.selection.report import (
    Choice,
    Row,
    agreement,
    difference,
    disagreement,
    disagreement_on_samples,
    fastest,
)


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=6), st.floats(0, 0.0009))
def test_close_answers_agree_and_others_do_not(row: list[float], step: float) -> None:
    """Within the tolerance engines agree, even where two classes are as good as equal; beyond it they do not."""
    wanted = np.array([row], np.float32)
    near = wanted + np.float32(step)
    assert disagreement(wanted, near, tolerance=1e-3) == ""
    assert "differs from the reference" in disagreement(wanted, wanted + 0.01, tolerance=1e-3)


def test_another_best_class_is_a_disagreement() -> None:
    """A best class that the reference finds clearly worse is told apart from a tie; shapes and NaN count too."""
    wanted = np.array([[0.5, 0.46, 0.04]], np.float32)
    swapped = np.array([[0.47, 0.49, 0.04]], np.float32)
    assert "another best class in 1 of 1" in disagreement(wanted, swapped, tolerance=0.035)
    assert disagreement(wanted, swapped, tolerance=0.05) == ""
    assert "shape" in disagreement(wanted, wanted[:, :2], tolerance=1)
    assert difference(wanted, wanted * np.float32(np.nan)) == math.inf


def test_the_fastest_of_those_that_agree_is_chosen() -> None:
    """Lone requests and a busy worker count alike; what is left out cannot win; the log's line has the whole table."""
    rows = (
        Row("a", {1: 100.0, 8: 100.0}, 0.0),
        Row("b", {1: 90.0, 8: 120.0}, 2e-4),
        Row("c", {1: 900.0, 8: 900.0}, 0.2, "differs"),
        Row("d", left_out="not installed"),
    )
    assert fastest(rows) == rows[1]
    assert fastest(rows[2:]) is None
    line = str(Choice("b", "a", "the fastest that agrees with a", "f32", rows[:2] + rows[3:]))
    assert line == (
        "Engine b, f32: the fastest that agrees with a. Images a second in batches of 1 and 8: "
        "a 100 / 100 (reference), b 90 / 120 (within 0.0002). Left out: d: not installed."
    )


def test_an_engine_with_streams_counts_by_them_where_many_wait() -> None:
    """A batch on all cores answers less beside what else a worker does; streams do not, and decide where they do."""
    wide = Row("wide", {1: 100.0, 8: 110.0})
    streams = Row("streams", {1: 100.0, 8: 100.0}, streams_per_s=100.0)
    assert fastest([wide, streams]) == streams
    assert fastest([wide, replace(streams, streams_per_s=90.0)]) == wide
    assert "100 / 100 / 100 in streams" in str(Choice("streams", "wide", "so", rows=(wide, streams)))


def test_agreement_is_the_share_of_images_with_the_same_best_class() -> None:
    """Scores do not count, only which class is best; another shape, and NaN, agree nowhere."""
    wanted = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]], np.float32)
    found = np.array([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9], [0.9, 0.1]], np.float32)
    assert agreement(wanted, found) == 0.75
    assert agreement(wanted, wanted[:, :1]) == 0.0
    assert agreement(wanted, wanted * np.float32(np.nan)) == 0.0
    assert disagreement_on_samples(0.75, asked=0.75, images=4) == ""
    reason = disagreement_on_samples(0.75, asked=0.99, images=4)
    assert reason == "sees another best class in 1 of 4 sample images (an agreement of 0.99 is asked for)"


def test_where_precisions_were_compared_the_line_names_them() -> None:
    """Each figure stands with its engine and precision, and with the agreement on the sample images."""
    rows = (
        Row("a", {1: 10.0}, 0.0, agreement=1.0),
        Row("b", {1: 20.0}, 0.02, precision="bf16", agreement=0.995),
        Row("c", left_out="not installed"),
    )
    line = str(Choice("b", "a", "the fastest", "bf16", rows))
    assert line == (
        "Engine b, bf16: the fastest. Images a second in batches of 1: a f32 10 (reference), "
        "b bf16 20 (within 0.02, agreement 0.995). Left out: c: not installed."
    )
