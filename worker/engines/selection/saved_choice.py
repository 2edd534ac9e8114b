"""What was chosen for a model, kept as `choice.json` -> the engine, loaded to do as the reference does."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from worker.artifacts.source import ModelSource, Preprocess
from worker.engines.base import Engine
from worker.engines.load import load_engine
from worker.engines.selection.report import Choice, Recipe, Row

_FILE = "choice.json"


def prepared(source: ModelSource, name: str, recipe: Recipe, folder: Path) -> Engine:
    """The engine called `name` with the model of `source`, as `recipe` says. Raises ModelError."""
    if recipe.file is not None:
        source = replace(source, path=folder / recipe.file, graph=None, input_layer=None, output_layer=None)
    if recipe.preprocess is not None:
        source = replace(source, preprocess=recipe.preprocess)
    engine = load_engine(source, name)
    engine.platform = recipe.platform
    engine.input = replace(engine.input, batch=recipe.batch or engine.input.batch, pixels=recipe.pixels)
    return engine


def write(folder: Path, choice: Choice, recipe: Recipe) -> None:
    """Keep both in `folder`, and of the converted models there only the one that is needed."""
    for file in folder.iterdir():
        if file.name != recipe.file:
            file.unlink()
    kept = {"choice": choice.describe(), "recipe": asdict(recipe)}
    (folder / _FILE).write_text(json.dumps(kept, indent=1), "utf-8")


def read(folder: Path) -> tuple[Choice, Recipe]:
    """What `write` wrote. Raises OSError, ValueError, KeyError or TypeError if it is damaged."""
    kept = json.loads((folder / _FILE).read_text("utf-8"))
    rows = tuple(
        Row(**{**row, "images_per_s": {int(size): rate for size, rate in row["images_per_s"].items()}})
        for row in kept["choice"]["rows"]
    )
    said = kept["recipe"]["preprocess"]
    preprocess = None if said is None else Preprocess(**{key: _as_set(value) for key, value in said.items()})
    return Choice(**{**kept["choice"], "rows": rows}), Recipe(**{**kept["recipe"], "preprocess": preprocess})


def _as_set(value: Any) -> Any:
    """JSON knows no tuples."""
    return tuple(value) if isinstance(value, list) else value
