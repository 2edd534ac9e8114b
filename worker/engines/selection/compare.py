"""A model and several engines -> their answers and times compared, and the choice of the best one saved.

Runs in a child process (see `select`): the reference is loaded and converted for the other engines, the answers of each
candidate, which is an engine in one precision, are compared with the reference's, and all are timed in alternation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.artifacts.formats import PRECISIONS, Format, Precision, format_of
from worker.artifacts.labels import read_labels
from worker.artifacts.preprocess_config import Preprocess
from worker.artifacts.source import ModelSource
from worker.engines.base import Engine
from worker.engines.frameworks import framework, reference, supporting
from worker.engines.load import as_classifier
from worker.engines.sample_images import sample_images
from worker.engines.selection.answers import SYNTHETIC, Samples, checked, reason_in, samples_of
from worker.engines.selection.report import TOLERANCE, Candidate, Choice, LoadOptions, Row, disagreement, fastest
from worker.engines.selection.saved_choice import load_with, save_choice
from worker.engines.selection.timing import timed, timed_streams
from worker.errors import ModelError

_log = logging.getLogger(__name__)


def compare(source: ModelSource, *, names: Sequence[str], folder: Path) -> None:
    """Fill an empty folder with the choice among `names` and the files of the chosen engine. Raises ModelError."""
    model_format: Format = "graph" if source.graph is not None else format_of(source.path or Path())
    judge = reference(model_format)
    raw = judge.load(source.in_precision("f32"))
    base = as_classifier(raw, source)
    if base.labels is None:  # too few or too many labels are an error before the engines are compared
        read_labels(source.labels, classes=base.classes)
    files, failed = _convert(raw, names, folder)
    if judge.name in files and not _converts_faithfully(base, source, files[judge.name], folder):
        del files[judge.name]
    everything = [Candidate(name, precision) for name in names for precision in _precisions(source, name)]
    options = {each: _options(base, each, files.get(each.engine)) for each in everything if each.engine not in failed}
    samples = samples_of(source, base)
    engines, rows = checked(source, base, options, folder, samples)
    rates, streams = timed(engines, base), timed_streams(engines, base)
    for each in everything:
        if each.engine in failed:
            rows[each] = Row(each.engine, left_out=failed[each.engine], precision=each.precision)
        elif each in rates:
            rows[each] = replace(rows[each], images_per_s=rates[each], streams_per_s=streams.get(each))
    table = [rows[each] for each in everything]
    chosen = fastest(table)
    if chosen is None:
        raise ModelError(_nothing_fits(source, table))
    why = _why(source, chosen, judge.name, samples)
    choice = Choice(chosen.engine, judge.name, why, chosen.precision, (*table, *not_installed(model_format)))
    save_choice(folder, choice, options[chosen.candidate])


def _precisions(source: ModelSource, name: str) -> Sequence[Precision]:
    """The precisions that one engine is compared in: the one that is asked for, or all that it has."""
    if source.precision != "auto":
        return [source.precision]
    return [precision for precision in PRECISIONS if precision in framework(name).precisions]


def _nothing_fits(source: ModelSource, table: Sequence[Row]) -> str:
    reasons = "; ".join(f"{row.engine}: {row.left_out}" for row in table)
    precision = "any precision" if source.precision == "auto" else source.precision
    return f"No engine can serve this model in {precision}: {reasons}."


def _why(source: ModelSource, chosen: Row, judge: str, samples: Samples | None) -> str:
    if samples is not None:
        count, asked = len(samples.images), samples.asked
        return f"the fastest that agrees with {judge} in at least {asked:g} of {count} sample images"
    return "asked for" if source.engine == chosen.engine else f"the fastest that agrees with {judge}"


def not_installed(model_format: Format) -> list[Row]:
    """A row for each engine that could run a model of this format if it were installed."""
    return [Row(one.name, left_out=one.missing) for one in supporting(model_format) if not one.installed]


def _convert(raw: Engine, names: Sequence[str], folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Convert a model that TensorFlow has loaded for each other engine; the files' names, and reasons of failures."""
    files: dict[str, str] = {}
    failed: dict[str, str] = {}
    if raw.name != "tensorflow":
        return files, failed
    from worker.engines.tensorflow import convert

    writers: Mapping[str, Callable[[Any, Path], None]] = {
        "model.pb": convert.write_graph,
        "model.onnx": convert.write_onnx,
        "model.session": convert.write_session,
    }
    for name in names:
        file = framework(name).converted
        if file is None:
            continue
        try:
            writers[file](raw, folder / file)
            files[name] = file
        except ModelError as error:
            if name == raw.name:  # TensorFlow can load the model's own files, too
                _log.info("The model is loaded slowly, from its own files, at every start: %s", error)
            else:
                failed[name] = reason_in(error, folder)
    return files, failed


def _options(base: Engine, candidate: Candidate, file: str | None) -> LoadOptions:
    """How to load a candidate so that it gives the same answers as the reference `base`."""
    seen = base.input
    preprocess: Preprocess | None = seen.preprocess
    if file is not None:  # the converted model takes unscaled pixels
        preprocess = replace(seen.preprocess, channels="rgb", mean=(0.0,), std=(1.0,), layout="nhwc")
    elif candidate.engine == base.name:
        preprocess = None
    return LoadOptions(file, preprocess, seen.batch, seen.pixels, base.platform, candidate.precision)


def _converts_faithfully(base: Engine, source: ModelSource, file: str, folder: Path) -> bool:
    """Whether the reference `base` gives the same answers when it is loaded from its converted file."""
    samples = sample_images(base.input, SYNTHETIC)
    try:
        engine = load_with(source, base.name, _options(base, Candidate(base.name, "f32"), file), folder)
        found = engine.predict(samples)
    except ModelError as error:
        reason = str(error)
    else:
        engine.close()
        reason = disagreement(base.predict(samples), found, tolerance=TOLERANCE["f32"])
    if reason:
        _log.warning("The model is loaded slowly, from its own files, at every start: what was made of it %s.", reason)
    return not reason
