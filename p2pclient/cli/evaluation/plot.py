"""The confusion matrix as a PNG: counts in, a picture out. Needs Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from p2pclient.cli.evaluation.metrics import OTHER, Accuracy
from p2pclient.cli.evaluation.report import shortened

Font: TypeAlias = ImageFont.ImageFont | ImageFont.FreeTypeFont

_CLASSES_WITH_NAMES = 60
_SIDE_PX = 900
_NAME_CHARS = 24
_MARGIN_PX = 12
_TITLE_PX = 40
_INK = (31, 35, 40)
_EMPTY = (246, 248, 250)
_WRONG, _RIGHT = (212, 98, 42), (14, 124, 90)


def plot(accuracy: Accuracy, path: str) -> None:
    """Write the picture: rows are true labels, columns predicted ones, a cell's shade is its share of the row.

    Names and counts are written while there are at most 60 classes. Raises OSError if it cannot be written.
    """
    classes, rows = accuracy.classes, accuracy.matrix()
    named = len(classes) <= _CLASSES_WITH_NAMES
    cell = max(2, min(56, _SIDE_PX // (len(classes) + 1)))
    font = ImageFont.load_default(size=max(8, min(14, cell * 0.45)))
    names = [shortened(name, _NAME_CHARS) for name in classes]
    room = int(max((font.getlength(name) for name in [*names, OTHER]), default=0)) + _MARGIN_PX if named else 0
    left, top = _MARGIN_PX + room, _TITLE_PX + room
    size = (left + cell * (len(classes) + 1) + _MARGIN_PX, top + cell * len(classes) + _MARGIN_PX)
    image = Image.new("RGB", (max(size[0], 420), size[1]), "white")
    draw = ImageDraw.Draw(image)
    title = (
        f"{accuracy.images} images: top-1 {accuracy.top1:.1%}, top-5 {accuracy.top5:.1%}; rows true, columns predicted"
    )
    draw.text((_MARGIN_PX, _MARGIN_PX), title, fill=_INK, font=ImageFont.load_default(size=13))
    for y, row in enumerate(rows):
        for x, count in enumerate(row):
            _cell(draw, (left + x * cell, top + y * cell), cell, count, sum(row), right=x == y, font=font)
    if named:
        _rows(draw, names, left, top, cell, font)
        _columns(image, [*names, OTHER], left, top, cell, font)
    image.save(path, "PNG")


def _cell(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    side: int,
    count: int,
    total: int,
    *,
    right: bool,
    font: Font,
) -> None:
    gap = 1 if side > 6 else 0
    share = (count / total) ** 0.6 if count else 0.0  # rare confusions are to be seen, too
    shade = _between(_EMPTY, _RIGHT if right else _WRONG, share)
    draw.rectangle((at[0], at[1], at[0] + side - 1 - gap, at[1] + side - 1 - gap), fill=shade)
    if count and side >= 18:
        draw.text(
            (at[0] + side / 2, at[1] + side / 2),
            str(count),
            fill="white" if share > 0.55 else _INK,
            font=font,
            anchor="mm",
        )


def _between(first: Sequence[int], last: Sequence[int], share: float) -> tuple[int, int, int]:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, last, strict=True))
    return red, green, blue


def _rows(
    draw: ImageDraw.ImageDraw,
    names: Sequence[str],
    left: int,
    top: int,
    cell: int,
    font: Font,
) -> None:
    for place, name in enumerate(names):
        draw.text((left - 6, top + (place + 0.5) * cell), name, fill=_INK, font=font, anchor="rm")


def _columns(
    image: Image.Image,
    names: Sequence[str],
    left: int,
    top: int,
    cell: int,
    font: Font,
) -> None:
    """Upright names above the columns, read from below: written on a strip that is then turned to the left."""
    strip = Image.new("RGB", (top - _TITLE_PX, cell * len(names)), "white")
    draw = ImageDraw.Draw(strip)
    for place, name in enumerate(names):
        draw.text((6, (place + 0.5) * cell), name, fill=_INK, font=font, anchor="lm")
    image.paste(strip.transpose(Image.Transpose.ROTATE_90), (left, _TITLE_PX))
