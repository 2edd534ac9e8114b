"""Features and labels -> the head that cross-validation finds best, with its predictions of photos it has not seen.

The candidates are logistic regressions over several sets of layers, each averaged over some neighbouring strengths of
the L2 penalty: after AutoGluon's few-shot way, Head2Toe (Evci et al., 2022) and the finding of FEWTRANS that an
ensemble over strengths needs no fine search. An average of logits is one linear layer again, so it costs nothing when
it serves. The plain logistic regression of the last layer's features is a candidate, too, so that what is chosen is
never worse in the cross-validation.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from worker.training.features.network import Layer
from worker.training.heads.folds import MOST_FOLDS
from worker.training.heads.head import Head, Logits, Rows, log_loss
from worker.training.heads.standardize import space
from worker.training.interruption import Stopped
from worker.training.progress import Progress

STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
"""Inverse strengths of the L2 penalty (scikit-learn's C), the strongest penalty first."""

PLAIN, PLAIN_WINDOWS = "plain last", ((0,),)
"""The name of the plain candidate, and its strength, C = 1, by number."""

WINDOWS = ((0, 1, 2), (1, 2, 3), (0, 1), (1, 2), (2, 3))
"""The strengths that are averaged, by number: a candidate for each."""

_ITERATIONS, _TOLERANCE = 200, 1e-3
_MOST_PHOTOS = 3000
"""Photos that the cross-validation uses: more change no choice and cost minutes."""


# Of matrices as small as these, a second thread gains little; where other programs run, threads that wait for each
# other make the fits ten times slower.
_one_thread = partial(threadpool_limits, limits=1)


@dataclass(frozen=True)
class Examples:
    """What heads are learned from.

    rows:  features of all layers [n, width]
    truth: each photo's label's number [n]
    folds: each photo's fold [n]
    """

    rows: Rows
    truth: NDArray[np.int64]
    folds: NDArray[np.int64]
    labels: int


@dataclass(frozen=True)
class Choice:
    """The candidate that cross-validation found best.

    layers, strengths: what it is made of
    standardized: whether it was learned of standardized features
    temperature: by which its logits are divided, so that its probabilities are right on photos it has not seen
    logits:   of the photos that the cross-validation used, each from a fold without it [n, labels]
    photos:   the numbers of these photos
    accuracy: on them
    tried:    the accuracy of every candidate, by its name
    """

    name: str
    layers: tuple[Layer, ...]
    strengths: tuple[float, ...]
    temperature: float
    logits: Logits
    photos: NDArray[np.int64]
    accuracy: float
    tried: Mapping[str, float]
    standardized: bool = True

    def over(self, layers: Sequence[Layer]) -> Choice:
        """The same over other layers, with logits as they come."""
        return replace(self, layers=tuple(layers), temperature=1.0)


def choose(
    examples: Examples, sets: Mapping[str, Sequence[Layer]], *, progress: Progress, stopped: Stopped, seed: int
) -> Choice:
    """Compare all candidates by cross-validation; the one with the lowest log loss at its best temperature wins.

    The log loss changes less by chance than the accuracy. If the training is to stop, the best so far.
    """
    with _one_thread():
        return _choose(examples, sets, progress, stopped, seed)


def _choose(
    examples: Examples, sets: Mapping[str, Sequence[Layer]], progress: Progress, stopped: Stopped, seed: int
) -> Choice:
    photos = _sample(examples, seed)
    part = Examples(examples.rows[photos], examples.truth[photos], examples.folds[photos], examples.labels)
    progress.stage("Comparing heads", (len(sets) + 1) * MOST_FOLDS)
    best: tuple[float, Choice] | None = None
    tried: dict[str, float] = {}
    for set_name, layers, standardized in _compared(sets):
        logits = _out_of_fold(part, layers, STRENGTHS if standardized else STRENGTHS[:1], progress, standardized)
        for window in WINDOWS if standardized else PLAIN_WINDOWS:
            strengths = tuple(STRENGTHS[number] for number in window)
            mean: Logits = np.mean([logits[number] for number in window], axis=0)
            temperature = temperature_of(mean, part.truth)
            accuracy = float((mean.argmax(axis=1) == part.truth).mean())
            name = f"{set_name}, C = {', '.join(f'{strength:g}' for strength in strengths)}"
            tried[name] = accuracy
            loss = log_loss(mean / temperature, part.truth)
            if best is None or loss < best[0]:
                chosen = mean / temperature
                fitting = Choice(
                    *(name, tuple(layers), strengths, temperature, chosen, photos, accuracy, tried),
                    standardized=standardized,
                )
                best = (loss, fitting)
        if stopped():
            break
    assert best is not None  # there is a first set
    return best[1]


def _compared(sets: Mapping[str, Sequence[Layer]]) -> Iterator[tuple[str, Sequence[Layer], bool]]:
    """Each set of layers with its name, and whether features are standardized; the plain candidate's is the last."""
    for name, layers in sets.items():
        yield name, layers, True
    yield PLAIN, next(iter(sets.values())), False


def fit(examples: Examples, choice: Choice) -> Head:
    """The chosen head, learned from all examples."""
    everything = np.arange(len(examples.truth))
    with _one_thread():
        spanned = space(examples.rows, choice.layers, everything, standardized=choice.standardized)
        fitted = list(_fits(spanned.rows, examples.truth, choice.strengths, examples.labels))
        kernel = np.mean([kernel for kernel, _ in fitted], axis=0) / choice.temperature
        bias = np.mean([bias for _, bias in fitted], axis=0) / choice.temperature
        return spanned.head(kernel, bias)


def temperature_of(logits: Logits, truth: NDArray[np.int64]) -> float:
    """The number to divide logits by for the lowest log loss (temperature scaling, Guo et al., 2017)."""
    found = minimize_scalar(lambda log: log_loss(logits / np.exp(log), truth), bounds=(-3.0, 3.0), method="bounded")
    return float(np.exp(found.x))


def _sample(examples: Examples, seed: int) -> NDArray[np.int64]:
    """The photos for the cross-validation: all, or a random part that has photos of every label in every fold."""
    everything = np.arange(len(examples.truth))
    if len(everything) <= _MOST_PHOTOS:
        return everything
    random = np.random.default_rng(seed)
    order = random.permutation(everything)
    _, first = np.unique(examples.truth[order] * (examples.folds.max() + 1) + examples.folds[order], return_index=True)
    needed = order[first]
    rest = order[~np.isin(order, needed)]
    return np.sort(np.concatenate([needed, rest[: max(0, _MOST_PHOTOS - len(needed))]]))


def _out_of_fold(
    examples: Examples, layers: Sequence[Layer], strengths: Sequence[float], progress: Progress, standardized: bool
) -> list[Logits]:
    """For each strength the logits of all photos, each from the fits without its fold."""
    everything = np.arange(len(examples.truth))
    spanned = space(examples.rows, layers, everything, standardized=standardized)  # the span knows no labels
    logits = [np.zeros((len(everything), examples.labels)) for _ in strengths]
    for fold in range(MOST_FOLDS):
        held = examples.folds == fold
        if held.any():
            fitted = _fits(spanned.rows[~held], examples.truth[~held], strengths, examples.labels)
            for found, (kernel, bias) in zip(logits, fitted, strict=True):
                found[held] = spanned.rows[held] @ kernel + bias
        progress.advance()
    return logits


def _fits(
    rows: NDArray[np.float32], truth: NDArray[np.int64], strengths: Sequence[float], labels: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Kernel [rank, labels] and bias [labels] of a logistic regression of each of some STRENGTHS, in their order.

    Each fit starts from the one before it, from the strongest penalty of all on: that halves the iterations, and what
    the fits find is closer to their minimum. A label without photos in this fold gets a bias that excludes it.
    """
    regression = LogisticRegression(max_iter=_ITERATIONS, tol=_TOLERANCE, warm_start=True)
    for strength in STRENGTHS[: STRENGTHS.index(max(strengths)) + 1]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.set_params(C=strength).fit(rows, truth)
        if strength not in strengths:
            continue
        kernel, bias = np.zeros((rows.shape[1], labels)), np.full(labels, -50.0)
        coefficients, offsets = regression.coef_, regression.intercept_
        if len(regression.classes_) == 2:  # scikit-learn gives one row for both
            coefficients, offsets = np.concatenate([-coefficients, coefficients]) / 2, np.array([-1, 1]) * offsets / 2
        kernel[:, regression.classes_] = coefficients.T
        bias[regression.classes_] = offsets
        yield kernel, bias
