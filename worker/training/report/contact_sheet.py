"""Photos -> small pictures within an HTML page, with a line of text under each."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image

from registry.runtime.visible_text import visible
from worker.artifacts.source import DEFAULT_MAX_PIXELS
from worker.errors import WorkerError
from worker.images.decode import ImageSize, decode

_EDGE = ImageSize(112, 112, "crop", "bicubic")

MOST = 48
"""Photos on one sheet; report.json names all."""


@dataclass(frozen=True)
class Shown:
    """A photo to show, and what is said of it."""

    path: Path
    caption: str


def contact_sheet(photos: Sequence[Shown]) -> str:
    """The first `MOST` photos, small; a photo that is gone meanwhile has its name only."""
    figures = "".join(_figure(photo) for photo in photos[:MOST])
    more = len(photos) - MOST
    rest = f"<p>and {more} more, which report.json names.</p>" if more > 0 else ""
    return f'<div class="sheet">{figures}</div>{rest}'


def _figure(photo: Shown) -> str:
    name, caption = escape(visible(str(photo.path))), escape(visible(photo.caption))
    return f'<figure title="{name}">{_picture(photo.path)}<figcaption>{caption}</figcaption></figure>'


def _picture(path: Path) -> str:
    try:
        pixels = decode(path.read_bytes(), size=_EDGE, max_pixels=DEFAULT_MAX_PIXELS)
    except (OSError, WorkerError):
        return f"<p>{escape(visible(path.name))}</p>"
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=75)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="{escape(visible(path.name))}" src="data:image/jpeg;base64,{data}">'
