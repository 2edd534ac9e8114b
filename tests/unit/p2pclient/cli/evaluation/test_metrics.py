"""Accuracy: what is counted, and that the report fits, for any labels."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.cli.evaluation.metrics import Accuracy, plain
from p2pclient.cli.evaluation.report import report

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=60, deadline=None)

labels = st.text("abC_- é", min_size=1, max_size=40).filter(plain)
few = st.sampled_from(["cat", "Tabby_cat", "tabby cat", "dog", "lynx", "great grey owl", "x" * 50])
images = st.lists(st.tuples(few | labels, st.lists(few | labels, min_size=1, max_size=7)), max_size=40)


def counted(images: list[tuple[str, list[str]]]) -> Accuracy:
    accuracy = Accuracy()
    for truth, predicted in images:
        accuracy.add(truth, predicted)
    return accuracy


@in_moderation
@given(images=images)
def test_top_1_and_top_5_are_what_they_are_called(images):
    """Shares of images whose true label is the best, or among the five best; a sixth does not count."""
    accuracy = counted(images)
    first = sum(plain(truth) == plain(predicted[0]) for truth, predicted in images)
    five = sum(plain(truth) in map(plain, predicted[:5]) for truth, predicted in images)
    assert accuracy.images == len(images)
    assert accuracy.top1 == (first / len(images) if images else 0)
    assert accuracy.top5 == (five / len(images) if images else 0)
    assert accuracy.top1 <= accuracy.top5 <= 1


@in_moderation
@given(images=images, order=st.randoms())
def test_the_matrix_counts_every_image_once(images, order):
    """Rows add up to the images of each true label, the diagonal to those that are right, in any order."""
    accuracy = counted(images)
    rows = accuracy.matrix()
    truths = Counter(plain(truth) for truth, _ in images)
    assert [sum(row) for row in rows] == [truths[plain(name)] for name in accuracy.classes]
    assert sum(row[place] for place, row in enumerate(rows)) == accuracy.right_first
    shuffled = list(images)
    order.shuffle(shuffled)
    assert counted(shuffled).matrix() == rows


@in_moderation
@given(images=images)
def test_confusions_are_what_is_off_the_diagonal(images):
    """Together they are as many as the images that were wrong; the most frequent come first."""
    accuracy = counted(images)
    confused = accuracy.confused()
    assert sum(count for count, _, _ in confused) == accuracy.images - accuracy.right_first
    assert [count for count, _, _ in confused] == sorted((count for count, _, _ in confused), reverse=True)


@in_moderation
@given(images=images, failed=st.integers(0, 10**6), width=st.integers(72, 200))
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
