"""`--engine` and what is installed -> the engine that serves a model, chosen once and kept.

Where several engines can run a model they are compared in a process of their own (`comparing`), so that a
worker never holds TensorFlow in memory only because it was asked for its opinion. What comes out is kept in
the cache folder under a digest of all that it depends on: the next start loads the chosen engine and no other.
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
from worker.artifacts.formats import Kind, kind_of, parts_of
from worker.artifacts.source import ModelSource
from worker.engines.base import Engine
from worker.engines.frameworks import FRAMEWORKS, Framework, able, absent, framework, reference
from worker.engines.load import load_engine
from worker.engines.selection.compare import compare
from worker.engines.selection.report import Choice
from worker.engines.selection.saved_choice import prepared, read
from worker.errors import ModelError
from worker.system.build_once import made_once
from worker.system.child_call import in_child
from worker.system.cpu import processor

_log = logging.getLogger(__name__)

_UNUSED_S = 30 * 24 * 3600.0
"""Choices that no start has used for so long are removed when another is made."""


def open_model(source: ModelSource, *, ahead: bool = False) -> tuple[Engine, Choice]:
    """The model of `source`, whose `path` or `graph` must be set, loaded with the engine that is to serve it.

    `ahead` says that this is a trial: whatever makes it quick to load the next time may be made now.
    Raises ModelError with the cause and the cure.
    """
    kind: Kind = "graph" if source.graph is not None else kind_of(source.path or Path())
    rivals = candidates(source, kind)
    names = [rival.name for rival in rivals]
    quicker = names == ["tensorflow"] and (ahead or _folder(source, names).is_dir())
    if not quicker and not _to_be_compared(source, kind, rivals):
        (name,) = names
        why = "asked for" if source.engine == name else "the only one installed that runs this model"
        choice = Choice(name, reference(kind).name, why, rows=tuple(absent(kind)))
        engine = load_engine(source, name)
    else:
        engine, choice = _compared(source, names)
    _log.info("%s", choice)
    return engine, choice


def candidates(source: ModelSource, kind: Kind) -> list[Framework]:
    """The engines that may serve a model: the one asked for, or each that is installed and can have it."""
    if source.engine != "auto":
        asked = framework(source.engine)
        if not asked.installed:
            raise ModelError(f"The engine {asked.name} is {asked.missing}.")
        if asked not in able(kind):
            raise ModelError(
                f"The engine {asked.name} cannot run a model of the kind {kind}: "
                f"--engine takes {' or '.join(one.name for one in able(kind))}."
            )
        return [asked]
    reference(kind)  # says what to install if nothing is
    return [one for one in able(kind) if one.installed]


def _to_be_compared(source: ModelSource, kind: Kind, rivals: Sequence[Framework]) -> bool:
    return len(rivals) > 1 or source.precision != "f32" or kind not in rivals[0].reads


def _compared(source: ModelSource, names: Sequence[str]) -> tuple[Engine, Choice]:
    """Load what was chosen at an earlier start, or choose; anew if what was chosen can be loaded no more."""
    folder = _folder(source, names)
    kept = folder.is_dir()
    _make(source, names, folder)
    try:
        return _load_kept(source, folder)
    except (ModelError, OSError, ValueError, KeyError, TypeError) as error:
        if not kept:
            raise
        _log.warning("The engine chosen earlier does not load any more (%s): choosing anew.", error)
    shutil.rmtree(folder, ignore_errors=True)
    _make(source, names, folder)
    return _load_kept(source, folder)


def _make(source: ModelSource, names: Sequence[str], folder: Path) -> None:
    def make(part: Path) -> None:
        _log.info("Comparing the engines %s with this model; it is done once.", ", ".join(names))
        _remove_unused(folder.parent)
        in_child(partial(compare, source, names=tuple(names), folder=part))

    try:
        made_once(folder, make)
    except OSError as error:
        raise ModelError(
            f"The choice of an engine cannot be kept in {folder.parent} ({error}): name another folder with "
            "XDG_CACHE_HOME, or an engine with --engine."
        ) from error


def _load_kept(source: ModelSource, folder: Path) -> tuple[Engine, Choice]:
    choice, recipe = read(folder)
    os.utime(folder)
    return prepared(source, choice.chosen, recipe, folder), choice


def _folder(source: ModelSource, names: Sequence[str]) -> Path:
    """Where the choice among these engines is kept."""
    return source.cache / "engines" / _key(source, names)


def _key(source: ModelSource, names: Sequence[str]) -> str:
    """A digest of all that a choice depends on: files, flags, engines, processor, and this code."""
    path = source.graph or source.path or Path()
    digest = hashlib.sha256()
    for file in [*parts_of(path), *sorted(Path(worker.engines.__path__[0]).rglob("*.py"))]:
        with open(file, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    versions = {one.name: one.version for one in FRAMEWORKS.values()}
    flags = (source.engine, source.precision, source.device, source.input_layer, source.output_layer)
    digest.update(repr((versions, flags, source.preprocess, tuple(names), path.suffix, processor())).encode())
    return digest.hexdigest()[:24]


def _remove_unused(folder: Path) -> None:
    for kept in folder.iterdir():
        if kept.is_dir() and kept.stat().st_mtime < time.time() - _UNUSED_S:
            shutil.rmtree(kept, ignore_errors=True)
