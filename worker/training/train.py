"""A folder of photos -> a new version of a model, with a report: transfer learning, as in the article's retrain.py.

files -> digests -> features of several layers, from the cache or computed -> parts, copies together -> the head that
cross-validation finds best -> a SavedModel with labels.txt, model.toml and report, or a frozen graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.labels import write_labels
from worker.artifacts.preprocess_config import Preprocess, write_preprocess
from worker.errors import RetrainError
from worker.training.export.exporter import Exporter, Order
from worker.training.export.version import check_versions, publish, version_in_making
from worker.training.features.cache import FeatureCache, Seen
from worker.training.features.extract import Extractor, Read, read_all
from worker.training.features.network import Network, network
from worker.training.heads.choose import Choice, Examples, choose, fit
from worker.training.heads.folds import folds_of
from worker.training.heads.head import Head
from worker.training.interruption import Stopped
from worker.training.photos.find import FoundPhotos, LeftOut, find_photos
from worker.training.photos.fingerprint import near_duplicates
from worker.training.photos.parts_file import NAME, read_parts, write_parts
from worker.training.photos.used import Photo, Used, used_photos
from worker.training.progress import Progress
from worker.training.report.facts import Training, facts
from worker.training.report.measures import Interval
from worker.training.report.write import write_report
from worker.training.settings import TrainSettings

_VARIANTS = 3
"""Distorted variants of each photo for training, beside the photo itself."""

_CURVE = (8, 4, 2, 1)
"""The learning curve's points: one n-th of the photos for training."""


@dataclass(frozen=True)
class TrainResult:
    """The result: what was written, the photos by use, and the accuracy on photos that were not trained on."""

    written: Path
    labels: tuple[str, ...]
    train: int
    validation: int
    test: int
    left_out: int
    accuracy: Interval
    facts: Mapping[str, Any]

    def __str__(self) -> str:
        """The text that the command prints."""
        share = f"{self.accuracy.share:.1%} (95 % interval {self.accuracy.low:.1%} to {self.accuracy.high:.1%})"
        tested = f"Test accuracy {share} on {self.test} photos that were not trained on. " if self.test else ""
        if self.written.is_dir():
            report = self.written / "report" / "index.html"
            return f"{tested}Report: {report}. Serve it: p2p worker --model {self.written.parent}"
        return f"{tested}Serve it: p2p worker --graph {self.written}"


def train(settings: TrainSettings, *, progress: Progress, stopped: Stopped = lambda: False) -> TrainResult:
    """Train a model for the labels that the sub-folders of `settings.image_dir` are named for.

    `progress` gets lines, and a line for each file that is left out. Once `stopped` is true, the best so far is kept.
    Raises RetrainError for fewer than two labels or too few photos, ModelError if the network is missing.
    """
    found = find_photos(settings.image_dir, out=settings.out)
    if settings.out is not None:
        check_versions(settings.out)
    read, failed = read_all([file.path for file in found.files], progress)
    progress.stage("Making the network, once per user", 1)
    layers = network(settings.cache, settings.architecture)
    with ExitStack() as stack:
        exporter = stack.enter_context(Exporter())
        cache = stack.enter_context(FeatureCache(settings.features_folder, layers.id))
        extractor = Extractor(layers, cache, progress, stopped)
        stack.callback(extractor.close)
        seen, undecoded = extractor.seen(read)
        left_out = [*found.left_out, *(LeftOut(each.path, each.reason) for each in [*failed, *undecoded])]
        photos = _Photos(settings, found, read, seen, left_out, undecoded={each.path for each in undecoded})
        for each in photos.left_out:
            progress.say(str(each))
        learned = _Learned(photos, extractor, settings, progress, stopped)
        return _write(settings, photos, learned, exporter, layers, progress)


class _Photos:
    """The photos that are used, with their features."""

    def __init__(
        self,
        settings: TrainSettings,
        found: FoundPhotos,
        read: Sequence[Read],
        seen: Mapping[str, Seen],
        left_out: Sequence[LeftOut],
        *,
        undecoded: set[Path],
    ) -> None:
        digests = {each.path: each.digest for each in read if each.digest in seen}
        late = [each.path for each in read if each.digest not in seen and each.path not in undecoded]
        unique = sorted(set(digests.values()))
        pairs = near_duplicates([seen[digest].fingerprint for digest in unique])
        alike = [(unique[one], unique[other]) for one, other in pairs]
        kept_in = None if settings.out is None else settings.out / NAME
        kept = {} if kept_in is None else read_parts(kept_in)
        used = used_photos(found, digests, kept=kept, alike=alike, shares=settings.shares)
        if kept_in is not None and not found.parts:
            write_parts(kept_in, kept | dict(used.parts))
        stopped = [LeftOut(path, "the run was stopped before it was computed") for path in late]
        self.left_out = [*left_out, *used.left_out, *stopped]
        self.used: Used = used
        self.rows = np.stack([seen[photo.digest].features for photo in used.photos])
        self.truth = np.array([photo.label for photo in used.photos], np.int64)
        self.duplicates = _pairs(used.photos, alike)

    def of(self, part: str) -> NDArray[np.int64]:
        """The numbers of the photos in a part."""
        return np.array([n for n, photo in enumerate(self.used.photos) if photo.part == part], np.int64)


def _pairs(photos: Sequence[Photo], alike: Sequence[tuple[str, str]]) -> list[tuple[Path, Path]]:
    """Pairs of paths of copies and of near-duplicates."""
    by_digest: dict[str, list[Path]] = {}
    for photo in photos:
        by_digest.setdefault(photo.digest, []).append(photo.path)
    copies = [(paths[0], other) for paths in by_digest.values() for other in paths[1:]]
    near = [(by_digest[one][0], by_digest[other][0]) for one, other in alike if one in by_digest and other in by_digest]
    return [*copies, *near]


class _Learned:
    """The head, and what it says of all photos: of photos for training, heads that were not trained on them."""

    def __init__(
        self, photos: _Photos, extractor: Extractor, settings: TrainSettings, progress: Progress, stopped: Stopped
    ) -> None:
        training = photos.of("train")
        layers = extractor.network
        self.examples = _examples(photos, training, extractor, settings)
        sets = {name: layers.chosen(names) for name, names in layers.sets.items()}
        self.choice: Choice = choose(self.examples, sets, progress=progress, stopped=stopped, seed=settings.seed)
        progress.say(f"The best head: {self.choice.name}; cross-validated accuracy {self.choice.accuracy:.1%}.")
        progress.stage("Training", 1 + len(_CURVE))
        self.head: Head = fit(self.examples, self.choice)
        progress.advance()
        self.logits = self.head.logits(photos.rows)
        self.logits[training] = np.nan
        own = self.choice.photos < len(training)  # the others are distorted variants
        self.logits[training[self.choice.photos[own]]] = self.choice.logits[own]


def _examples(photos: _Photos, training: NDArray[np.int64], extractor: Extractor, settings: TrainSettings) -> Examples:
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


def _curve(
    photos: _Photos, learned: _Learned, settings: TrainSettings, progress: Progress
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


def _write(
    settings: TrainSettings,
    photos: _Photos,
    learned: _Learned,
    exporter: Exporter,
    layers: Network,
    progress: Progress,
) -> TrainResult:
    """Write the version and the graph, and the report meanwhile."""
    with ExitStack() as stack:
        making = None if settings.out is None else stack.enter_context(version_in_making(settings.out))
        exporter.begin(Order(layers, learned.head, making, settings.graph, settings.final))
        report = facts(_training(settings, photos, learned, progress))
        progress.stage("Writing the model", 1)
        if making is not None:
            write_labels(making, photos.used.labels)
            write_preprocess(making, Preprocess(resize=layers.resize, filter=layers.filter))
            write_report(making / "report", report)
        exporter.finish()
        _write_labels(settings, photos.used.labels)
        written = settings.graph
        if making is not None and settings.out is not None:
            written = publish(making, settings.out)
        assert written is not None  # the command asks for one of them
    return TrainResult(
        written,
        photos.used.labels,
        train=len(photos.of("train")),
        validation=len(photos.of("validation")),
        test=len(photos.of("test")),
        left_out=len(photos.left_out),
        accuracy=Interval(report["test"]["share"], report["test"]["low"], report["test"]["high"]),
        facts=report,
    )


def _training(settings: TrainSettings, photos: _Photos, learned: _Learned, progress: Progress) -> Training:
    choice = learned.choice
    described = {
        "photos in": str(settings.image_dir),
        "network": settings.architecture,
        "head": choice.name,
        "cross-validated accuracy": f"{choice.accuracy:.4f}",
        "temperature": f"{choice.temperature:.3f}",
        "seed": str(settings.seed),
    }
    described |= {f"tried: {name}": f"{accuracy:.4f}" for name, accuracy in choice.tried.items()}
    return Training(
        photos.used.labels,
        photos.used.photos,
        learned.logits,
        photos.left_out,
        photos.duplicates,
        _curve(photos, learned, settings, progress),
        described,
    )


def _write_labels(settings: TrainSettings, labels: tuple[str, ...]) -> None:
    """Write labels where they are wanted, and beside a frozen graph, where a worker looks for them."""
    files = {settings.output_labels}
    if settings.graph is not None and settings.output_labels is None:
        files.add(settings.graph.parent / "labels.txt")
    for file in files - {None}:
        assert file is not None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{label}\n" for label in labels), "utf-8")
        except OSError as error:
            raise RetrainError(
                f"{file} cannot be written ({error}): name another file with --output-labels."
            ) from error
