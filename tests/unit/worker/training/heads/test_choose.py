"""The head that is chosen uses the layers that tell the labels apart, and its probabilities are calibrated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from worker.training.features.network import Layer
from worker.training.heads import choose as choosing
from worker.training.heads.choose import Choice, Examples, choose, fit, temperature_of
from worker.training.heads.folds import folds_of
from worker.training.heads.head import log_loss, softmax
from worker.training.heads.standardize import space

LAST, EARLY = Layer("last", "a:0", 0, 20), Layer("early", "b:0", 20, 50)
SETS = {"last": [LAST], "both": [LAST, EARLY]}


class Quiet:
    def say(self, line: str) -> None: ...

    def stage(self, name: str, steps: int) -> None: ...

    def advance(self, steps: int = 1) -> None: ...


def examples(photos: int = 120, labels: int = 3) -> Examples:
    """Features of which only those of the earlier layer tell the labels apart."""
    random = np.random.default_rng(0)
    truth = np.arange(photos) % labels
    rows = random.normal(size=(photos, 50)).astype(np.float16)
    rows[:, 20:23] += 3 * np.eye(labels, 3)[truth].astype(np.float16)
    return Examples(rows, truth, folds_of(truth, [str(n) for n in range(photos)], seed=0), labels)


def chosen(given: Examples) -> Choice:
    return choose(given, SETS, progress=Quiet(), stopped=lambda: False, seed=0)


def test_layers_that_help_are_used() -> None:
    """The set with the earlier layer is chosen; the head, over features as they are, labels photos right."""
    given = examples()
    choice = chosen(given)
    assert choice.layers == (LAST, EARLY)
    head = fit(given, choice)
    assert (head.logits(given.rows).argmax(axis=1) == given.truth).mean() > 0.95
    assert choice.accuracy > 0.8
    assert set(choice.tried) >= {choice.name, "last, C = 1, 10"}


@pytest.mark.parametrize("labels", [2, 3])
def test_the_plain_regression_is_a_candidate(monkeypatch: pytest.MonkeyPatch, labels: int) -> None:
    """Without the others it is chosen; its head is scikit-learn's over the last layer's features as they are."""
    given = examples(labels=labels)
    assert "plain last, C = 1" in chosen(given).tried
    monkeypatch.setattr(choosing, "WINDOWS", ())
    choice = chosen(given)
    assert (choice.name, choice.layers) == ("plain last, C = 1", (LAST,))
    head = fit(given, replace(choice, temperature=1.0))
    last = given.rows[:, : LAST.stop].astype(np.float32)
    expected = LogisticRegression().fit(last, given.truth).predict_proba(last)
    np.testing.assert_allclose(softmax(head.logits(given.rows)), expected, atol=0.01)


@pytest.mark.parametrize("labels", [2, 3])
def test_the_same_input_gives_the_same_head(labels: int) -> None:
    """Two runs are equal to the bit, for two labels, which scikit-learn treats otherwise, and for more."""
    one, other = (fit(examples(labels=labels), chosen(examples(labels=labels))) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one.kernels, other.kernels, strict=True))
    assert one.bias.shape == (labels,)


def test_a_stop_keeps_the_best_so_far() -> None:
    """Stopped after the first set of layers, the choice is of that set."""
    choice = choose(examples(), SETS, progress=Quiet(), stopped=lambda: True, seed=0)
    assert choice.layers == (LAST,)


def test_out_of_fold_logits_are_those_of_heads_that_had_not_seen_the_photo() -> None:
    """On labels by chance they are right by chance only, although a head can learn them by heart."""
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, 100)
    rows = random.normal(size=(100, 50)).astype(np.float16)
    given = Examples(rows, truth, folds_of(truth, [str(n) for n in range(100)], seed=0), 2)
    choice = chosen(given)
    unseen = (choice.logits.argmax(axis=1) == truth).mean()
    learned = (fit(given, choice).logits(rows).argmax(axis=1) == truth).mean()
    assert unseen < 0.6
    assert learned > unseen + 0.1


def test_the_span_of_the_photos_gives_the_same_head_as_all_features() -> None:
    """A head that is learned in the span, and one in the space of features, give equal logits on other photos."""
    random = np.random.default_rng(2)
    rows, other = random.normal(size=(30, 50)), random.normal(size=(5, 50))
    spanned = space(rows, [LAST, EARLY], np.arange(30))
    assert spanned.way is not None
    kernel, bias = random.normal(size=(spanned.rows.shape[1], 4)), random.normal(size=4)
    head = spanned.head(kernel, bias)
    assert np.allclose(head.logits(rows), spanned.rows @ kernel + bias, atol=1e-3)
    assert head.logits(other).shape == (5, 4)


def test_a_temperature_lowers_the_log_loss() -> None:
    """Logits that are ten times too large are divided by about ten times more than right ones."""
    random = np.random.default_rng(3)
    logits = random.normal(size=(500, 3))
    truth = np.array([random.choice(3, p=row) for row in softmax(logits)])
    assert 0.8 < temperature_of(logits, truth) < 1.3
    assert 8 < temperature_of(logits * 10, truth) < 13
    assert log_loss(logits, truth) < log_loss(logits * 10, truth)
