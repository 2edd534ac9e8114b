"""Labelled images and what a model might say of them, as hypothesis strategies, for tests of accuracy."""

from __future__ import annotations

from hypothesis import strategies as st

from p2pclient.cli.evaluation.metrics import Accuracy, normalized

LABELS = st.text("abC_- é", min_size=1, max_size=40).filter(normalized)
FEW = st.sampled_from(["cat", "Tabby_cat", "tabby cat", "dog", "lynx", "great grey owl", "x" * 50])
IMAGES = st.lists(st.tuples(FEW | LABELS, st.lists(FEW | LABELS, min_size=1, max_size=7)), max_size=40)
"""Pairs of a true label and the predicted ones, best first."""


def counted(images: list[tuple[str, list[str]]]) -> Accuracy:
    """The accuracy over these images."""
    accuracy = Accuracy()
    for truth, predicted in images:
        accuracy.add(truth, predicted)
    return accuracy
