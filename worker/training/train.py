"""A folder of photos -> a new version of a model, with a report: transfer learning, as in the article's retrain.py.

files -> digests -> features of several layers, from the cache or computed -> parts, copies together -> the head that
cross-validation finds best -> a SavedModel with labels.txt, model.toml and report, or a frozen graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.artifacts.labels import write_labels
from worker.artifacts.preprocess_config import Preprocess, write_preprocess
from worker.errors import RetrainError
from worker.training.collected import Collected
from worker.training.export.exporter import Exporter, Order
from worker.training.export.saved_model import write_saved_model
from worker.training.export.version import check_versions, publish, version_in_making
from worker.training.features.cache import FeatureCache
from worker.training.features.extract import Extractor, read_all
from worker.training.features.network import network
from worker.training.interruption import Stopped
from worker.training.learn import Learned, check_fine_tuning, learn, learning_curve
from worker.training.photos.find import LeftOut, find_photos
from worker.training.progress import Progress
from worker.training.report.facts import Training, facts
from worker.training.report.measures import Interval
from worker.training.report.write import write_report
from worker.training.settings import TrainSettings


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
    check_fine_tuning(settings)
    found = find_photos(settings.image_dir, out=settings.out)
    if settings.out is not None:
        check_versions(settings.out)
    read, failed = read_all([file.path for file in found.files], progress)
    progress.stage("Making the network, once per user", 1)
    layers = network(settings.cache, settings.architecture)
    with ExitStack() as stack:
        cache = stack.enter_context(FeatureCache(settings.features_folder, layers.id))
        extractor = Extractor(layers, cache, progress, stopped)
        stack.callback(extractor.close)
        seen, undecoded = extractor.seen(read)
        left_out = [*found.left_out, *(LeftOut(each.path, each.reason) for each in [*failed, *undecoded])]
        try:
            photos = Collected(settings, found, read, seen, left_out, undecoded={each.path for each in undecoded})
        except RetrainError as error:
            if not stopped():
                raise
            raise RetrainError(
                "Stopped before there were photos enough of every label. Their features are kept: run this again."
            ) from error
        for each in photos.left_out:
            progress.say(str(each))
        exporter = stack.enter_context(Exporter()) if settings.graph is not None else None
        learned = learn(photos, extractor, settings, stack, progress=progress, stopped=stopped)
        return _write(settings, photos, learned, exporter, progress)


def _write(
    settings: TrainSettings,
    photos: Collected,
    learned: Learned,
    exporter: Exporter | None,
    progress: Progress,
) -> TrainResult:
    """Write the version, and the graph meanwhile."""
    with ExitStack() as stack:
        making = None if settings.out is None else stack.enter_context(version_in_making(settings.out))
        if exporter is not None and settings.graph is not None:
            exporter.begin(Order(learned.network, learned.head, settings.graph, settings.final))
        report = facts(_training(settings, photos, learned, progress))
        progress.stage("Writing the model", 1)
        if making is not None:
            write_saved_model(making, learned.network, learned.head)
            write_labels(making, photos.used.labels)
            write_preprocess(making, Preprocess(resize=learned.network.resize, filter=learned.network.filter))
            write_report(making / "report", report)
        if exporter is not None:
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


def _training(settings: TrainSettings, photos: Collected, learned: Learned, progress: Progress) -> Training:
    choice = learned.choice
    described = {
        "photos in": str(settings.image_dir),
        "network": settings.architecture,
        "head": choice.name,
        "cross-validated accuracy": f"{choice.accuracy:.4f}",
        "temperature": f"{choice.temperature:.3f}",
        "fine-tuned": "yes" if learned.tuned else "no",
        "seed": str(settings.seed),
    }
    if learned.tuned_accuracy is not None:
        described["cross-validated accuracy of fine-tuning"] = f"{learned.tuned_accuracy:.4f}"
    described |= {f"tried: {name}": f"{accuracy:.4f}" for name, accuracy in choice.tried.items()}
    return Training(
        photos.used.labels,
        photos.used.photos,
        learned.logits,
        photos.left_out,
        photos.duplicates,
        learning_curve(photos, learned, settings, progress),
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
