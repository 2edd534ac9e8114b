"""Accuracy and confusions, counted for any labels."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.cli.evaluation.metrics import normalized
from tests.support.pictures.labelled_images import IMAGES, counted

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=60, deadline=None)


@in_moderation
@given(images=IMAGES)
def test_top_1_and_top_5_are_what_they_are_called(images):
    """Shares of images whose true label is the best, or among the five best; a sixth does not count."""
    accuracy = counted(images)
    first = sum(normalized(truth) == normalized(predicted[0]) for truth, predicted in images)
    five = sum(normalized(truth) in map(normalized, predicted[:5]) for truth, predicted in images)
    assert accuracy.images == len(images)
    assert accuracy.top1 == (first / len(images) if images else 0)
    assert accuracy.top5 == (five / len(images) if images else 0)
    assert accuracy.top1 <= accuracy.top5 <= 1


@in_moderation
@given(images=IMAGES, order=st.randoms())
def test_the_matrix_counts_every_image_once(images, order):
    """Rows add up to the images of each true label, the diagonal to those that are right, in any order."""
    accuracy = counted(images)
    rows = accuracy.matrix()
    truths = Counter(normalized(truth) for truth, _ in images)
    assert [sum(row) for row in rows] == [truths[normalized(name)] for name in accuracy.classes]
    assert sum(row[place] for place, row in enumerate(rows)) == accuracy.right_first
    shuffled = list(images)
    order.shuffle(shuffled)
    assert counted(shuffled).matrix() == rows


@in_moderation
@given(images=IMAGES)
def test_confusions_are_what_is_off_the_diagonal(images):
    """Together they are as many as the images that were wrong; the most frequent come first."""
    accuracy = counted(images)
    confused = accuracy.confused()
    assert sum(count for count, _, _ in confused) == accuracy.images - accuracy.right_first
    assert [count for count, _, _ in confused] == sorted((count for count, _, _ in confused), reverse=True)
