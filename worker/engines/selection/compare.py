"""A model and the engines that may serve it -> their answers and times compared, the best one's recipe kept.

Runs in a process of its own (see `choosing`): the reference is loaded, what others read is made of it, each is
checked against it on pictures with structure and timed in turn with the others.
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

from worker.artifacts.formats import Kind, kind_of
from worker.artifacts.source import ModelSource, Preprocess
from worker.engines.base import Engine, warmup_images
from worker.engines.frameworks import absent, framework, reference
from worker.engines.load import settle
from worker.engines.selection.report import TOLERANCE, Choice, Recipe, Row, difference, disagreement, fastest
from worker.engines.selection.saved_choice import prepared, write
from worker.errors import ModelError

_log = logging.getLogger(__name__)

SIZES = (1, 8)
"""Batch sizes that are timed: a lone request, and a busy worker; that of an engine with streams, too, in these."""

_PICTURES = 8
_ROUNDS = 7
_LEAST = 3
_ENOUGH_S = 3.0  # of timing one batch size; `_LEAST` rounds are made in any case


def compare(source: ModelSource, *, names: Sequence[str], folder: Path) -> None:
    """Fill an empty folder with the choice among `names` and what the chosen one needs. Raises ModelError."""
    kind: Kind = "graph" if source.graph is not None else kind_of(source.path or Path())
    judge = reference(kind)
    raw = judge.load(replace(source, precision="f32"))
    files, rows = _convert(raw, names, folder)
    base = settle(raw, source)
    if judge.name in files and not _stays_right(base, source, files[judge.name], folder):
        del files[judge.name]
    recipes = {name: _recipe(base, name, files.get(name)) for name in names if name not in rows}
    engines, checked = _checked(source, base, recipes, folder)
    rows |= checked
    streams = _timed_streams(engines, base)
    for name, rates in _timed(engines, base).items():
        rows[name] = replace(rows[name], images_per_s=rates, streams_per_s=streams.get(name))
    chosen = fastest(list(rows.values()))
    if chosen is None:
        reasons = "; ".join(f"{row.engine}: {row.left_out}" for row in rows.values())
        raise ModelError(f"No engine can serve this model in {source.precision}: {reasons}.")
    why = "asked for" if source.engine == chosen else f"the fastest that agrees with {judge.name}"
    table = (*(rows[name] for name in names), *absent(kind))
    write(folder, Choice(chosen, judge.name, why, source.precision, table), recipes[chosen])


def _convert(raw: Engine, names: Sequence[str], folder: Path) -> tuple[dict[str, str], dict[str, Row]]:
    """Write what TensorFlow has loaded in the form that each other engine takes: files' names, and rows of failures."""
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
        form = framework(name).converted
        if form is None:
            continue
        try:
            writers[form](raw, folder / form)
            files[name] = form
        except ModelError as error:
            if name == raw.name:  # it can load the model's own files as well
                _log.info("The model is loaded slowly, from its own files, at every start: %s", error)
            else:
                rows[name] = Row(name, left_out=_reason(error, folder))
    return files, rows


def _recipe(base: Engine, name: str, file: str | None) -> Recipe:
    """How an engine is to be loaded so that it does as the reference `base` does."""
    seen = base.input
    preprocess: Preprocess | None = seen.preprocess
    if file is not None:  # pixels go into the converted model as they are
        preprocess = replace(seen.preprocess, channels="rgb", mean=(0.0,), std=(1.0,), layout="nhwc")
    elif name == base.name:
        preprocess = None
    return Recipe(file, preprocess, seen.batch, seen.pixels, base.platform)


def _stays_right(base: Engine, source: ModelSource, file: str, folder: Path) -> bool:
    """Whether the reference `base` answers the same when it is loaded from the file that was made of it."""
    pictures = warmup_images(base.input, _PICTURES)
    try:
        engine = prepared(replace(source, precision="f32"), base.name, _recipe(base, base.name, file), folder)
        found = engine.predict(pictures)
    except ModelError as error:
        reason = str(error)
    else:
        engine.close()
        reason = disagreement(base.predict(pictures), found, tolerance=TOLERANCE["f32"])
    if reason:
        _log.warning("The model is loaded slowly, from its own files, at every start: what was made of it %s.", reason)
    return not reason


def _checked(
    source: ModelSource, base: Engine, recipes: Mapping[str, Recipe], folder: Path
) -> tuple[dict[str, Engine], dict[str, Row]]:
    """The engines that agree with the reference `base`, loaded, and a row for each of all of them."""
    pictures = warmup_images(base.input, _PICTURES)
    wanted = base.predict(pictures)
    engines: dict[str, Engine] = {}
    rows: dict[str, Row] = {}
    for name, recipe in recipes.items():
        itself = name == base.name and recipe.file is None and source.precision == "f32"
        try:
            engine = base if itself else prepared(source, name, recipe, folder)
            found = engine.predict(pictures)
        except ModelError as error:
            rows[name] = Row(name, left_out=_reason(error, folder))
            continue
        reason = disagreement(wanted, found, tolerance=TOLERANCE[source.precision])
        rows[name] = Row(name, difference=difference(wanted, found), left_out=reason)
        if not reason:
            engines[name] = engine
    return engines, rows


def _reason(error: ModelError, folder: Path) -> str:
    """The error within a sentence, without the name of a folder that will be gone when it is read."""
    return str(error).replace(f"{folder}{os.sep}", "").rstrip(".")


def _timed(engines: Mapping[str, Engine], base: Engine) -> dict[str, dict[int, float]]:
    """Images a second of each engine by batch size."""
    rates: dict[str, dict[int, float]] = {name: {} for name in engines}
    for size in SIZES if base.input.batch != 1 else SIZES[:1]:
        batch = warmup_images(base.input, size)
        took_s = _in_turn({name: partial(_seconds, engine.predict, batch) for name, engine in engines.items()})
        for name, seconds in took_s.items():
            rates[name][size] = size / seconds
    return rates


def _timed_streams(engines: Mapping[str, Engine], base: Engine) -> dict[str, float]:
    """Images a second of those that have streams, of all of them together, each with one image at a time."""
    having = {name: engine for name, engine in engines.items() if engine.streams > 1}
    images = warmup_images(base.input, 1)
    with ThreadPoolExecutor(max((engine.streams for engine in having.values()), default=1)) as threads:

        def seconds(engine: Engine) -> float:
            each = partial(_seconds, engine.stream)
            return statistics.fmean(threads.map(each, [images] * engine.streams))

        took_s = _in_turn({name: partial(seconds, engine) for name, engine in having.items()})
    return {name: having[name].streams / seconds for name, seconds in took_s.items()}


def _in_turn(ways: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The median seconds of each, which take turns; the first one of each warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    started_s = time.perf_counter()
    for number in range(1 + _ROUNDS):
        if number > _LEAST and time.perf_counter() - started_s > _ENOUGH_S:
            break
        for name, way in ways.items():
            seconds[name].append(way())
    return {name: statistics.median(measured[1:]) for name, measured in seconds.items()}


def _seconds(predict: Callable[[Sequence[NDArray[np.uint8]]], object], batch: Sequence[NDArray[np.uint8]]) -> float:
    started_s = time.perf_counter()
    predict(batch)
    return time.perf_counter() - started_s
