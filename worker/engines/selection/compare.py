"""A model and several engines -> their answers and times compared, and the choice of the best one saved.

Runs in a child process (see `select`): the reference is loaded and converted for the other engines, each engine's
answers on sample images are compared with the reference's, and all are timed in alternation.
"""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.formats import Format, format_of
from worker.artifacts.labels import read_labels
from worker.artifacts.preprocess_config import Preprocess
from worker.artifacts.source import ModelSource
from worker.engines.base import Engine
from worker.engines.frameworks import framework, reference, supporting
from worker.engines.load import as_classifier
from worker.engines.sample_images import sample_images
from worker.engines.selection.report import TOLERANCE, Choice, LoadOptions, Row, difference, disagreement, fastest
from worker.engines.selection.saved_choice import load_with, save_choice
from worker.errors import ModelError

_log = logging.getLogger(__name__)

SIZES = (1, 8)
"""Batch sizes that are timed: for single requests, and for a worker with a queue."""

_SAMPLES = 8
_ROUNDS = 7
_LEAST = 3
_ENOUGH_S = 3.0  # for timing one batch size, but at least `_LEAST` rounds


def compare(source: ModelSource, *, names: Sequence[str], folder: Path) -> None:
    """Fill an empty folder with the choice among `names` and the files of the chosen engine. Raises ModelError."""
    model_format: Format = "graph" if source.graph is not None else format_of(source.path or Path())
    judge = reference(model_format)
    raw = judge.load(replace(source, precision="f32"))
    base = as_classifier(raw, source)
    if base.labels is None:  # too few or too many labels are an error before the engines are compared
        read_labels(source.labels, classes=base.classes)
    files, rows = _convert(raw, names, folder)
    if judge.name in files and not _converts_faithfully(base, source, files[judge.name], folder):
        del files[judge.name]
    options = {name: _options(base, name, files.get(name)) for name in names if name not in rows}
    engines, checked = _checked(source, base, options, folder)
    rows |= checked
    streams = _timed_streams(engines, base)
    for name, rates in _timed(engines, base).items():
        rows[name] = replace(rows[name], images_per_s=rates, streams_per_s=streams.get(name))
    chosen = fastest(list(rows.values()))
    if chosen is None:
        reasons = "; ".join(f"{row.engine}: {row.left_out}" for row in rows.values())
        raise ModelError(f"No engine can serve this model in {source.precision}: {reasons}.")
    why = "asked for" if source.engine == chosen else f"the fastest that agrees with {judge.name}"
    table = (*(rows[name] for name in names), *not_installed(model_format))
    save_choice(folder, Choice(chosen, judge.name, why, source.precision, table), options[chosen])


def not_installed(model_format: Format) -> list[Row]:
    """A row for each engine that could run a model of this format if it were installed."""
    return [Row(one.name, left_out=one.missing) for one in supporting(model_format) if not one.installed]


def _convert(raw: Engine, names: Sequence[str], folder: Path) -> tuple[dict[str, str], dict[str, Row]]:
    """Convert a model that TensorFlow has loaded for each other engine; the files' names, and rows of failures."""
    files: dict[str, str] = {}
    rows: dict[str, Row] = {}
    if raw.name != "tensorflow":
        return files, rows
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
                rows[name] = Row(name, left_out=_reason(error, folder))
    return files, rows


def _options(base: Engine, name: str, file: str | None) -> LoadOptions:
    """How to load an engine so that it gives the same answers as the reference `base`."""
    seen = base.input
    preprocess: Preprocess | None = seen.preprocess
    if file is not None:  # the converted model takes unscaled pixels
        preprocess = replace(seen.preprocess, channels="rgb", mean=(0.0,), std=(1.0,), layout="nhwc")
    elif name == base.name:
        preprocess = None
    return LoadOptions(file, preprocess, seen.batch, seen.pixels, base.platform)


def _converts_faithfully(base: Engine, source: ModelSource, file: str, folder: Path) -> bool:
    """Whether the reference `base` gives the same answers when it is loaded from its converted file."""
    samples = sample_images(base.input, _SAMPLES)
    try:
        engine = load_with(replace(source, precision="f32"), base.name, _options(base, base.name, file), folder)
        found = engine.predict(samples)
    except ModelError as error:
        reason = str(error)
    else:
        engine.close()
        reason = disagreement(base.predict(samples), found, tolerance=TOLERANCE["f32"])
    if reason:
        _log.warning("The model is loaded slowly, from its own files, at every start: what was made of it %s.", reason)
    return not reason


def _checked(
    source: ModelSource, base: Engine, options: Mapping[str, LoadOptions], folder: Path
) -> tuple[dict[str, Engine], dict[str, Row]]:
    """The loaded engines that agree with the reference `base`, and a row for every engine."""
    samples = sample_images(base.input, _SAMPLES)
    wanted = base.predict(samples)
    engines: dict[str, Engine] = {}
    rows: dict[str, Row] = {}
    for name, each in options.items():
        itself = name == base.name and each.file is None and source.precision == "f32"
        try:
            engine = base if itself else load_with(source, name, each, folder)
            found = engine.predict(samples)
        except ModelError as error:
            rows[name] = Row(name, left_out=_reason(error, folder))
            continue
        reason = disagreement(wanted, found, tolerance=TOLERANCE[source.precision])
        rows[name] = Row(name, difference=difference(wanted, found), left_out=reason)
        if not reason:
            engines[name] = engine
    return engines, rows


def _reason(error: ModelError, folder: Path) -> str:
    """The error as part of a sentence, without the name of the temporary folder."""
    return str(error).replace(f"{folder}{os.sep}", "").rstrip(".")


def _timed(engines: Mapping[str, Engine], base: Engine) -> dict[str, dict[int, float]]:
    """Images a second of each engine by batch size."""
    rates: dict[str, dict[int, float]] = {name: {} for name in engines}
    for size in SIZES if base.input.batch != 1 else SIZES[:1]:
        batch = sample_images(base.input, size)
        took_s = _alternated({name: partial(_seconds, engine.predict, batch) for name, engine in engines.items()})
        for name, seconds in took_s.items():
            rates[name][size] = size / seconds
    return rates


def _timed_streams(engines: Mapping[str, Engine], base: Engine) -> dict[str, float]:
    """Images a second of each engine with streams: of all its streams together, one image at a time in each."""
    with_streams = {name: engine for name, engine in engines.items() if engine.streams > 1}
    images = sample_images(base.input, 1)
    with ThreadPoolExecutor(max((engine.streams for engine in with_streams.values()), default=1)) as threads:

        def seconds(engine: Engine) -> float:
            each = partial(_seconds, engine.stream)
            return statistics.fmean(threads.map(each, [images] * engine.streams))

        took_s = _alternated({name: partial(seconds, engine) for name, engine in with_streams.items()})
    return {name: with_streams[name].streams / seconds for name, seconds in took_s.items()}


def _alternated(calls: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The median seconds of each; they run in alternation, and the first run of each is a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    started_s = time.perf_counter()
    for number in range(1 + _ROUNDS):
        if number > _LEAST and time.perf_counter() - started_s > _ENOUGH_S:
            break
        for name, call in calls.items():
            seconds[name].append(call())
    return {name: statistics.median(measured[1:]) for name, measured in seconds.items()}


def _seconds(predict: Callable[[Sequence[NDArray[np.uint8]]], object], batch: Sequence[NDArray[np.uint8]]) -> float:
    started_s = time.perf_counter()
    predict(batch)
    return time.perf_counter() - started_s
