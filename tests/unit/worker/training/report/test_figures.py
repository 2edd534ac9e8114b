"""Figures and the page are well-formed, whatever labels are called, and load nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from worker.training.photos.find import LeftOut
from worker.training.photos.split import Part
from worker.training.photos.used import Photo
from worker.training.report.facts import Training, facts
from worker.training.report.figures import calibration_curve, confusion_matrix, learning_curve
from worker.training.report.measures import CalibrationBin, Interval
from worker.training.report.page import page

HOSTILE = "<script>alert(1)</script> & \"'"


@pytest.mark.parametrize("labels", [2, 7])
def test_figures_are_xml(labels: int) -> None:
    """Names of labels are escaped; many labels make no matrix, and a single point is a curve."""
    names = [HOSTILE, *(f"label {n}" for n in range(labels - 1))]
    drawn = [
        confusion_matrix(np.arange(labels * labels).reshape(labels, labels), names),
        calibration_curve([CalibrationBin(0.9, 1.0, 4, 0.95, 1.0)]),
        learning_curve([(100, Interval(0.9, 0.8, 0.95))]),
        learning_curve([(50, Interval(0.5, 0.1, 0.9)), (100, Interval(1.0, 0.9, 1.0))]),
    ]
    assert all(ElementTree.fromstring(svg).tag == "svg" for svg in drawn)
    assert confusion_matrix(np.zeros((50, 50), np.int64), [str(n) for n in range(50)]) == ""
    assert learning_curve([]) == ""


def training(**changes: Any) -> Training:
    parts: tuple[Part, ...] = ("train", "test")
    photos = [Photo(Path(f"{HOSTILE}{n}.jpg"), f"{n}", n % 2, parts[n // 4 % 2], f"{n}") for n in range(16)]
    logits = np.stack([np.arange(16) % 3 - 1.0, np.arange(16) % 2 * 1.0], axis=1)
    return Training(
        **{
            "labels": (HOSTILE, "b"),
            "photos": photos,
            "logits": logits,
            "left_out": [LeftOut(Path("x\x1b[31m"), "it is hidden")],
            "duplicates": [(photos[0].path, photos[1].path)],
            "curve": [(4, 3, 8), (8, 5, 8)],
            "settings": {"seed": "0"},
            **changes,
        }
    )


def test_the_page_escapes_what_it_is_given() -> None:
    """Names of files and labels are text, never markup; photos that are gone have their names in their place."""
    made = page(facts(training()))
    assert "<script" not in made
    assert "\x1b" not in made
    assert "&lt;script&gt;" in made


def test_the_facts_count_what_was_used() -> None:
    """Photos by label and part, the test's accuracy and the curve come from what was used."""
    found = facts(training())
    assert found["photos"]["b"] == {"train": 4, "validation": 0, "test": 4}
    assert found["test"]["photos"] == 8
    assert sum(map(sum, found["confusion"])) == 8
    assert [point["share"] for point in found["learning_curve"]] == [3 / 8, 5 / 8]
    assert found["left_out_reasons"] == {"it is hidden": 1}


def test_photos_that_no_fold_predicted_are_not_judged() -> None:
    """Rows without a prediction (NaN) are no suspects."""
    logits = np.full((16, 2), np.nan)
    logits[[n for n in range(16) if n // 4 % 2]] = [0.0, 1.0]
    tested = {str(photo.path) for photo in training().photos if photo.part == "test"}
    assert {each["file"] for each in facts(training(logits=logits))["suspects"]} <= tested
