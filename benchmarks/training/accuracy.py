"""A data set -> the accuracy of the head that cross-validation chooses, and of plain logistic regression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from benchmarks.harness.inputs import CACHE
from benchmarks.training import datasets
from worker.training.features.cache import FeatureCache
from worker.training.features.extract import Extractor, read_all
from worker.training.features.network import Network, network
from worker.training.heads.choose import Examples, choose, fit
from worker.training.heads.folds import folds_of
from worker.training.report.measures import Interval, wilson

BOUNDS: Mapping[str, float] = MappingProxyType({"digits": 0.97, "fashion": 0.83})
"""The accuracy that each data set must reach."""

_MAKERS: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {"digits": datasets.digits, "fashion": datasets.fashion, "stamps": datasets.stamps}
)
_FASHION_TRAIN = 2000


@dataclass(frozen=True)
class Row:
    """The result on one data set."""

    HEAD: ClassVar[str] = (
        "| data | labels | trained on | tested on | accuracy | plain | beyond plain | heads chosen |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |"
    )

    name: str
    labels: int
    train: int
    test: int
    chosen: Interval
    plain: Interval
    beyond: tuple[float, ...]
    heads: Counter[str]

    @property
    def accuracy(self) -> float:
        """The mean accuracy of the chosen heads."""
        return self.chosen.share

    def __str__(self) -> str:
        """A row of a table in Markdown."""
        heads = "; ".join(f"{head} ({count})" for head, count in self.heads.most_common())
        beyond = f"{np.mean(self.beyond):+.4f} ({min(self.beyond):+.4f} to {max(self.beyond):+.4f})"
        cells = [self.name, self.labels, self.train, self.test, _text(self.chosen), _text(self.plain), beyond, heads]
        return f"| {' | '.join(map(str, cells))} |"


class Quiet:
    """A progress that shows nothing."""

    def say(self, line: str) -> None:
        """Drop a line."""

    def stage(self, name: str, steps: int) -> None:
        """Begin a stage."""

    def advance(self, steps: int = 1) -> None:
        """Count steps."""


@dataclass(frozen=True)
class _Data:
    rows: NDArray[np.float16]
    truth: NDArray[np.int64]
    digests: list[str]
    test: NDArray[np.bool_]  # photos that may only test
    labels: int


def measure(name: str, folder: Path, *, splits: int) -> Row:
    """Make the data set in `folder`, and measure it in several splits."""
    _MAKERS[name](folder / name)
    layers = network(CACHE)
    data = _data(folder / name, layers)
    right, plain_right, tested, beyond, heads = 0, 0, 0, [], Counter[str]()
    trained = 0
    for seed in range(splits):
        training, test = _split(data, seed)
        predicted, head = _chosen(data, training, test, layers, seed)
        plain = _plain(data, training, test, layers)
        truth = data.truth[test]
        right, plain_right = right + int((predicted == truth).sum()), plain_right + int((plain == truth).sum())
        beyond.append(float((predicted == truth).mean() - (plain == truth).mean()))
        heads[head] += 1
        tested, trained = tested + len(test), len(training)
    results = wilson(right, tested), wilson(plain_right, tested)
    return Row(name, data.labels, trained, tested // splits, *results, tuple(beyond), heads)


def _data(folder: Path, layers: Network) -> _Data:
    files = sorted(folder.rglob("*.png"))
    with FeatureCache(CACHE / "features", layers.id) as cache:
        read, _ = read_all(files, Quiet())
        extractor = Extractor(layers, cache, Quiet(), lambda: False)
        seen, _ = extractor.seen(read)
        extractor.close()
    read = [each for each in read if each.digest in seen]
    names = sorted({each.path.parent.name for each in read})
    return _Data(
        np.stack([seen[each.digest].features for each in read]),
        np.array([names.index(each.path.parent.name) for each in read]),
        [each.digest for each in read],
        np.array([each.path.parts[-3] == "test" for each in read]),
        len(names),
    )


def _split(data: _Data, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of the photos for training and for testing; photos with the same content are together."""
    random = np.random.default_rng(seed)
    if data.test.any():
        own = np.flatnonzero(~data.test)
        return random.choice(own, min(_FASHION_TRAIN, len(own)), replace=False), np.flatnonzero(data.test)
    testing = {digest for digest in sorted(set(data.digests)) if random.random() < 0.2}
    held = np.array([digest in testing for digest in data.digests])
    return np.flatnonzero(~held), np.flatnonzero(held)


def _chosen(
    data: _Data, training: NDArray[np.int64], test: NDArray[np.int64], layers: Network, seed: int
) -> tuple[NDArray[np.int64], str]:
    truth = data.truth[training]
    folds = folds_of(truth, [data.digests[n] for n in training], seed=seed)
    examples = Examples(data.rows[training], truth, folds, data.labels)
    sets = {name: layers.chosen(names) for name, names in layers.sets.items()}
    choice = choose(examples, sets, progress=Quiet(), stopped=lambda: False, seed=seed)
    return fit(examples, choice).logits(data.rows[test]).argmax(axis=1), choice.name


def _plain(data: _Data, training: NDArray[np.int64], test: NDArray[np.int64], layers: Network) -> NDArray[np.int64]:
    last = layers.layers[0]
    rows = data.rows[:, last.start : last.stop].astype(np.float32)
    with threadpool_limits(1):
        fitted = LogisticRegression(max_iter=1000).fit(rows[training], data.truth[training])
    return np.asarray(fitted.predict(rows[test]))


def _text(interval: Interval) -> str:
    return f"{interval.share:.4f} ({interval.low:.4f} to {interval.high:.4f})"
