"""The parts of a model's photos, kept in a file beside the model's versions."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from worker.training.photos.split import Part

NAME = "photo-parts.json"
"""The file's name in the model's folder."""


def read_parts(file: Path) -> dict[str, Part]:
    """The parts that earlier runs kept, by digest; none where there was no such run, or its file is damaged."""
    try:
        return {digest: part for digest, part in json.loads(file.read_bytes()).items() if part in get_args(Part)}
    except (OSError, ValueError, AttributeError):
        return {}


def write_parts(file: Path, parts: Mapping[str, Part]) -> None:
    """Replace the file as a whole. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(".part")
    written.write_text(json.dumps(parts))
    os.replace(written, file)
