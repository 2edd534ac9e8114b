"""The accuracy report fits its width, for any labels."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.cli.evaluation.metrics import Accuracy
from p2pclient.cli.evaluation.report import report
from tests.support.pictures.labelled_images import IMAGES, counted

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=60, deadline=None)


@in_moderation
@given(images=IMAGES, failed=st.integers(0, 10**6), width=st.integers(72, 200))
def test_the_report_fits_its_width(images, failed, width):
    """No line is wider than the terminal, whatever the labels."""
    text = report(counted(images), failed=failed, unlabelled=0, width=width)
    assert all(len(line) <= width for line in text.splitlines())
    assert text.startswith(f"{len(images)} image")


def test_many_classes_show_the_worst_pairs():
    """Where a matrix does not fit, the most confused pairs are named with their counts, and how many more there are."""
    accuracy = Accuracy()
    for number in range(100):
        accuracy.add(f"class {number}", [f"class {number}"])
        accuracy.add(f"class {number}", [f"class {number - 1 if number else 99}"])
    accuracy.add("class 7", ["class 6"])
    lines = report(accuracy, failed=0, unlabelled=0, width=80).splitlines()
    assert lines[0] == "201 images: top-1 49.8%, top-5 49.8%"
    assert lines[2:4] == ["most confused of 100 classes:", "2 x class 7 taken for class 6"]
    assert lines[-1] == "and 85 pairs more"
