"""The photos that are used -> the head, the network that it belongs to, and what they say of every photo."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.errors import RetrainError
from worker.training.collected import Collected
from worker.training.features.cache import FeatureCache
from worker.training.features.extract import Extractor, Read
from worker.training.features.network import DEFAULT, Network
from worker.training.fine_tuning.task import FOLDS, Task
from worker.training.fine_tuning.tuning import Tuned, folder_for_tuning, tune
from worker.training.heads.choose import Choice, Examples, choose, fit, temperature_of
from worker.training.heads.folds import folds_of
from worker.training.heads.head import Head, Logits
from worker.training.interruption import Stopped
from worker.training.progress import Progress
from worker.training.settings import TrainSettings

_VARIANTS = 3
"""Distorted variants of each photo for training, beside the photo itself."""

_CURVE = (8, 4, 2, 1)
"""The learning curve's points: one n-th of the photos for training."""


@dataclass(frozen=True)
class Learned:
    """What was learned.

    logits: of all photos [n, labels]: of those for training from folds without them, NaN where there is none
    tuned_accuracy: the cross-validated accuracy of fine-tuning; None if it was not tried
    """

    network: Network
    head: Head
    choice: Choice
    examples: Examples
    logits: Logits
    tuned_accuracy: float | None = None
    tuned: bool = False


def check_fine_tuning(settings: TrainSettings) -> None:
    """Raise RetrainError for a network that cannot be fine-tuned here."""
    if settings.fine_tune and settings.architecture != DEFAULT:
        raise RetrainError("--fine-tune trains the default network only: leave out --architecture or --fine-tune.")


def learn(
    photos: Collected,
    extractor: Extractor,
    settings: TrainSettings,
    stack: ExitStack,
    *,
    progress: Progress,
    stopped: Stopped,
) -> Learned:
    """Choose and train the head, and the network's last blocks where that is asked for and better.

    `stack` keeps the files of a network that was trained until it is exported.
    """
    training = photos.of("train")
    layers = extractor.network
    examples = _examples(photos, training, extractor, settings)
    sets = {name: layers.chosen(names) for name, names in layers.sets.items()}
    choice = choose(examples, sets, progress=progress, stopped=stopped, seed=settings.seed)
    progress.say(f"The best head: {choice.name}; cross-validated accuracy {choice.accuracy:.1%}.")
    progress.stage("Training", 1)
    head = fit(examples, choice)
    logits = head.logits(photos.rows)
    logits[training] = np.nan
    own = choice.photos < len(training)  # the others are distorted variants
    logits[training[choice.photos[own]]] = choice.logits[own]
    learned = Learned(layers, head, choice, examples, logits)
    if settings.fine_tune and not stopped():
        return _fine_tuned(learned, photos, settings, stack, progress, stopped)
    return learned


def _fine_tuned(
    learned: Learned,
    photos: Collected,
    settings: TrainSettings,
    stack: ExitStack,
    progress: Progress,
    stopped: Stopped,
) -> Learned:
    """The better one of the head and of the network with trained last blocks, by cross-validation."""
    training = photos.of("train")
    folder = Path(stack.enter_context(folder_for_tuning()))
    tuned = tune(_task(learned, photos, settings, folder), progress=progress, stopped=stopped)
    if tuned.logits is None:
        progress.say("Stopped before fine-tuning could be judged: the head without it is kept.")
        return learned
    truth = photos.truth[training]
    accuracy = float((tuned.logits.argmax(axis=1) == truth).mean())
    known = np.isfinite(learned.logits[training]).all(axis=1)
    before = float((learned.logits[training][known].argmax(axis=1) == truth[known]).mean())
    better = accuracy > before
    words = "is better and kept" if better else "is no better and left out"
    progress.say(f"Fine-tuning {words}: cross-validated accuracy {accuracy:.1%}, without it {before:.1%}.")
    if not better:
        return Learned(*_values(learned), tuned_accuracy=accuracy)
    temperature = temperature_of(tuned.logits, truth)
    head = Head(tuned.head.layers, (tuned.head.kernels[0] / temperature,), tuned.head.bias / temperature)
    logits = _logits_of(tuned, head, photos, folder, progress)
    logits[training] = tuned.logits / temperature
    return Learned(tuned.network, head, learned.choice, learned.examples, logits, accuracy, tuned=True)


def _values(learned: Learned) -> tuple[Network, Head, Choice, Examples, Logits]:
    return learned.network, learned.head, learned.choice, learned.examples, learned.logits


def _task(learned: Learned, photos: Collected, settings: TrainSettings, folder: Path) -> Task:
    training, checking = photos.of("train"), photos.of("validation")
    layers = learned.network
    start = fit(learned.examples, learned.choice.over(layers.chosen(next(iter(layers.sets.values())))))
    paths = [photo.path for photo in photos.used.photos]
    return Task(
        paths=[paths[n] for n in training],
        truth=photos.truth[training],
        folds=learned.examples.folds[: len(training)] % FOLDS,
        checking=[paths[n] for n in checking],
        checking_truth=photos.truth[checking],
        kernel=start.kernels[0],
        bias=start.bias,
        network=layers,
        folder=folder,
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        batch=settings.batch,
        interval=settings.interval,
        seed=settings.seed,
    )


def _logits_of(tuned: Tuned, head: Head, photos: Collected, folder: Path, progress: Progress) -> Logits:
    """The logits of all photos by the trained network."""
    with FeatureCache(folder / "features", "tuned") as cache:
        extractor = Extractor(tuned.network, cache, progress, lambda: False)
        reads = [Read(photo.path, photo.digest) for photo in photos.used.photos]
        seen, _ = extractor.seen(reads)
        extractor.close()
    width = tuned.network.width
    rows = [seen[r.digest].features if r.digest in seen else np.full(width, np.nan, np.float16) for r in reads]
    return head.logits(np.stack(rows))


def _examples(
    photos: Collected, training: NDArray[np.int64], extractor: Extractor, settings: TrainSettings
) -> Examples:
    """The photos for training, and distorted variants of them."""
    groups = [photos.used.photos[n].group for n in training]
    folds = folds_of(photos.truth[training], groups, seed=settings.seed)
    rows, numbers = [photos.rows[training]], [np.arange(len(training))]
    if settings.distortions.any:
        reads = [Read(photos.used.photos[n].path, photos.used.photos[n].digest) for n in training]
        for variant in range(_VARIANTS):
            seen, _ = extractor.seen(reads, distortions=settings.distortions.numbered(variant))
            known = np.array([n for n, read in enumerate(reads) if read.digest in seen], np.int64)
            if known.size:
                rows.append(np.stack([seen[reads[n].digest].features for n in known]))
                numbers.append(known)
    order = np.concatenate(numbers)
    return Examples(np.concatenate(rows), photos.truth[training][order], folds[order], len(photos.used.labels))


def learning_curve(
    photos: Collected, learned: Learned, settings: TrainSettings, progress: Progress
) -> list[tuple[int, int, int]]:
    """Photos for training, photos for testing that are labelled right, and photos for testing, for parts of them."""
    training, test = photos.of("train"), photos.of("test")
    order = np.random.default_rng(settings.seed).permutation(len(training))
    points = []
    for divisor in _CURVE:
        some = training[order[: len(training) // divisor]]
        if divisor > 1 and len(np.unique(photos.truth[some])) == len(photos.used.labels) and test.size:
            part = Examples(
                photos.rows[some], photos.truth[some], np.zeros(len(some), np.int64), learned.examples.labels
            )
            right = fit(part, learned.choice).logits(photos.rows[test]).argmax(axis=1) == photos.truth[test]
            points.append((len(some), int(right.sum()), len(test)))
        progress.advance()
    if test.size:
        right = learned.logits[test].argmax(axis=1) == photos.truth[test]
        points.append((len(training), int(right.sum()), len(test)))
    return points
