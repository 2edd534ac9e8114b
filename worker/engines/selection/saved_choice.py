"""The choice of an engine, saved as `choice.json` -> the engine, loaded to give the same answers as the reference."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from worker.artifacts.preprocess_config import Preprocess
from worker.artifacts.source import ModelSource
from worker.engines.base import Engine
from worker.engines.load import load_engine
from worker.engines.selection.report import Choice, LoadOptions, Row

_FILE = "choice.json"


def load_with(source: ModelSource, name: str, options: LoadOptions, folder: Path) -> Engine:
    """The engine called `name` with the model of `source`, loaded with `options`. Raises ModelError."""
    source = source.in_precision(options.precision)
    if options.file is not None:
        file = folder / options.file
        source = replace(source, path=file, graph=None, input_layer=None, output_layer=None, signature=None)
    if options.preprocess is not None:
        source = replace(source, preprocess=options.preprocess)
    engine = load_engine(source, name)
    engine.platform = options.platform
    engine.input = replace(engine.input, batch=options.batch or engine.input.batch, pixels=options.pixels)
    return engine


def save_choice(folder: Path, choice: Choice, options: LoadOptions) -> None:
    """Save both in `folder`, and remove the converted models that the chosen engine does not need."""
    for file in folder.iterdir():
        if file.name != options.file:
            file.unlink()
    saved = {"choice": choice.describe(), "options": asdict(options)}
    (folder / _FILE).write_text(json.dumps(saved, indent=1), "utf-8")


def read_choice(folder: Path) -> tuple[Choice, LoadOptions]:
    """The values that `save_choice` wrote. Raises OSError, ValueError, KeyError or TypeError if they are damaged."""
    saved = json.loads((folder / _FILE).read_text("utf-8"))
    rows = tuple(
        Row(**{**row, "images_per_s": {int(size): rate for size, rate in row["images_per_s"].items()}})
        for row in saved["choice"]["rows"]
    )
    values = saved["options"]["preprocess"]
    preprocess = None if values is None else Preprocess(**{key: _tuples(value) for key, value in values.items()})
    return Choice(**{**saved["choice"], "rows": rows}), LoadOptions(**{**saved["options"], "preprocess": preprocess})


def _tuples(value: Any) -> Any:
    """JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else value
