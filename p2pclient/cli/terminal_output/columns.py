"""Rows of cells become lines of aligned columns that fit a width; pure.

Characters that take two columns of a terminal count as two. rich's own table gives the same lines but takes
160 times as long (0.32 s for 1,000 workers), which `p2p status --watch` would spend again and again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.cells import cell_len, set_cell_size

_GAP = 2
_WRAPPED_INDENT = 4
_LEAST_COLUMNS = 9
"""A shrinking column keeps at least so many columns."""


def shortened(text: str, width: int) -> str:
    """The text, or its beginning and an ellipsis, in at most `width` columns."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` columns, which end between words where they can.

    The lines after the first are indented by four.
    """
    lines, line = [], ""
    for character in text:
        if cell_len(line + character) > width:
            end = len(line) if character == " " else line.rfind(" ")
            if end <= _WRAPPED_INDENT + 1 or not line[:end].strip():  # one word that is longer than a line
                end = len(line)
            lines.append(line[:end])
            line = " " * _WRAPPED_INDENT + line[end:].lstrip(" ")
            if character == " ":
                continue
        line += character
    return [*lines, line]


def table_width(rows: Sequence[Sequence[str]]) -> int:
    """The columns of a terminal that these rows take when nothing is shortened."""
    widths = _widths(rows)
    return sum(widths) + _GAP * (len(widths) - 1)


def aligned(
    rows: Sequence[Sequence[str]], *, texts: Collection[int], shrinking: Collection[int] = (), width: int
) -> list[str]:
    """A line for each row: the columns `texts` begin at the left, the others (numbers) end at the right.

    Where the lines are wider than `width`, the widest of the columns `shrinking` give way, down to 9 columns.
    """
    widths = _widths(rows)
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    for _ in range(max(0, excess)):
        widest = max(shrinking, key=lambda place: widths[place], default=None)
        if widest is None or widths[widest] <= _LEAST_COLUMNS:
            break
        widths[widest] -= 1
    return [
        (" " * _GAP).join(_padded(cell, widths[place], left=place in texts) for place, cell in enumerate(row)).rstrip()
        for row in rows
    ]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def _padded(cell: str, width: int, *, left: bool) -> str:
    cell = shortened(cell, width)
    room = " " * (width - cell_len(cell))
    return cell + room if left else room + cell
