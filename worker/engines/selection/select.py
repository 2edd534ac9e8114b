"""`--engine` and the installed engines -> the engine that serves a model; the choice is made once and saved.

If several engines can run a model, a child process compares them (`compare`), so that the worker itself never loads
TensorFlow only for the comparison. The result is saved in the cache folder under a digest of all that it depends on:
the next start loads the chosen engine and no other.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import worker.engines
from worker.artifacts.formats import Format, format_of, parts_of
from worker.artifacts.safety.check import refuse_unsafe
from worker.artifacts.source import ModelSource
from worker.engines.base import Engine
from worker.engines.device import parsed_device
from worker.engines.frameworks import FRAMEWORKS, Framework, framework, reference, supporting
from worker.engines.load import load_engine
from worker.engines.selection.compare import compare, not_installed
from worker.engines.selection.report import Choice
from worker.engines.selection.samples import asked_agreement, sample_files, too_few
from worker.engines.selection.saved_choice import load_with, read_choice
from worker.errors import ModelError
from worker.system.build_once import build_once
from worker.system.child_call import call_in_child_blocking
from worker.system.cpu import processor

_log = logging.getLogger(__name__)

_UNUSED_S = 30 * 24 * 3600.0
"""A choice that no start has used for this long is removed when another is made."""


def open_model(source: ModelSource, *, trial: bool = False) -> tuple[Engine, Choice]:
    """The model of `source`, whose `path` or `graph` must be set, loaded with the engine that is to serve it.

    `trial` marks a trial load: then files that make the next load quicker are made now.
    Raises ModelError with the cause and the cure.
    """
    parsed_device(source.device)  # a wrong flag is told before a framework is imported
    path = source.graph or source.path or Path()
    model_format: Format = "graph" if source.graph is not None else format_of(path)
    rivals = candidates(source, model_format)
    if not source.allow_unsafe:
        refuse_unsafe(path, model_format)
    _check_samples(source)
    names = [rival.name for rival in rivals]
    convert = names == ["tensorflow"] and (trial or _folder(source, names).is_dir())
    if not convert and not _to_be_compared(source, model_format, rivals):
        (name,) = names
        why = "asked for" if source.engine == name else "the only one installed that runs this model"
        choice = Choice(name, reference(model_format).name, why, rows=tuple(not_installed(model_format)))
        engine = load_engine(source, name)
    else:
        engine, choice = _compared(source, names)
    _log.info("%s", choice)
    return engine, choice


def _check_samples(source: ModelSource) -> None:
    """Raise ModelError where a precision cannot be chosen for want of images; say where they are few."""
    count, asked = len(sample_files(source)), asked_agreement(source)
    if count and too_few(count, asked):
        _log.warning(
            "%d sample images are too few to show an agreement of %g: all of them have to agree.", count, asked
        )


def candidates(source: ModelSource, model_format: Format) -> list[Framework]:
    """The engines that may serve a model: the requested one, or each that is installed and supports the format."""
    if source.engine != "auto":
        asked = framework(source.engine)
        if asked not in supporting(model_format):  # before it is installed in vain
            raise ModelError(
                f"The engine {asked.name} cannot run a model of the kind {model_format}: "
                f"--engine takes {' or '.join(one.name for one in supporting(model_format))}."
            )
        if not asked.installed:
            raise ModelError(f"The engine {asked.name} is {asked.missing}.")
        return [asked]
    reference(model_format)  # raises, with what to install, if nothing is
    return [one for one in supporting(model_format) if one.installed]


def _to_be_compared(source: ModelSource, model_format: Format, rivals: Sequence[Framework]) -> bool:
    # Other engines cannot choose a signature, so the one that is named is converted for them.
    converted = model_format not in rivals[0].reads or (source.signature and rivals[0].name != "tensorflow")
    return len(rivals) > 1 or source.precision != "f32" or bool(converted)


def _compared(source: ModelSource, names: Sequence[str]) -> tuple[Engine, Choice]:
    """Load the saved choice, or choose; choose again if the saved choice cannot be loaded any more."""
    folder = _folder(source, names)
    saved = folder.is_dir()
    _choose(source, names, folder)
    try:
        return _load_saved(source, folder)
    except (ModelError, OSError, ValueError, KeyError, TypeError) as error:
        if not saved:
            raise
        _log.warning("The engine chosen earlier does not load any more (%s): choosing anew.", error)
    shutil.rmtree(folder, ignore_errors=True)
    _choose(source, names, folder)
    return _load_saved(source, folder)


def _choose(source: ModelSource, names: Sequence[str], folder: Path) -> None:
    def build(part: Path) -> None:
        _log.info("Comparing the engines %s with this model; it is done once.", ", ".join(names))
        _remove_unused(folder.parent)
        call_in_child_blocking(partial(compare, source, names=tuple(names), folder=part))

    try:
        build_once(folder, build)
    except OSError as error:
        raise ModelError(
            f"The choice of an engine cannot be kept in {folder.parent} ({error}): name another folder with "
            "XDG_CACHE_HOME, or an engine with --engine."
        ) from error


def _load_saved(source: ModelSource, folder: Path) -> tuple[Engine, Choice]:
    choice, options = read_choice(folder)
    os.utime(folder)
    return load_with(source, choice.chosen, options, folder), choice


def _folder(source: ModelSource, names: Sequence[str]) -> Path:
    """The folder of the choice among these engines."""
    return source.cache / "engines" / _key(source, names)


def _key(source: ModelSource, names: Sequence[str]) -> str:
    """A digest of all that a choice depends on: files, flags, engines, processor, and this code."""
    path = source.graph or source.path or Path()
    digest = hashlib.sha256()
    for file in [*parts_of(path), *sample_files(source), *sorted(Path(worker.engines.__path__[0]).rglob("*.py"))]:
        with open(file, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    versions = {one.name: one.version for one in FRAMEWORKS.values()}
    flags = (
        *(
            source.engine,
            source.precision,
            source.agreement,
            source.device,
            source.input_layer,
            source.output_layer,
            source.signature,
        ),
        source.allow_unsafe,
    )
    digest.update(repr((versions, flags, source.preprocess, tuple(names), path.suffix, processor())).encode())
    return digest.hexdigest()[:24]


def _remove_unused(folder: Path) -> None:
    for choice in folder.iterdir():
        if choice.is_dir() and choice.stat().st_mtime < time.time() - _UNUSED_S:
            shutil.rmtree(choice, ignore_errors=True)
