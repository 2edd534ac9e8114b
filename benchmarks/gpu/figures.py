"""A measured figure with what it stands beside and its bar, and what became of a part of the run; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.harness.summary import markdown_table

_NOTE = 300
"""How long a note may be."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; None if it could not be measured, for the reason in the note.

    beside:      the value that it is compared with, measured in turns with it
    least_ratio: the bar for value / beside; at_most: the bar for the value itself
    """

    what: str
    value: float | None
    unit: str
    beside: float | None = None
    least_ratio: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value divided by the one beside it."""
        return self.value / self.beside if self.beside and self.value is not None else None

    @property
    def holds(self) -> bool | None:
        """Whether its bar holds; None without a bar."""
        if self.at_most is not None and self.value is not None:
            return self.value <= self.at_most
        if self.least_ratio is None or self.ratio is None:
            return None
        return self.ratio >= self.least_ratio

    def as_json(self) -> dict[str, Any]:
        """All fields, with the ratio and whether the bar holds."""
        return asdict(self) | {"ratio": self.ratio, "holds": self.holds}


@dataclass(slots=True)
class PartResult:
    """What one part of the run has found, and how it ended: "done", "failed: ...", "stopped after 60 s"."""

    name: str
    ended: str = "not run"
    took_s: float = 0.0
    figures: list[Figure] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        figures = [figure.as_json() for figure in self.figures]
        return {"part": self.name, "ended": self.ended, "took_s": round(self.took_s, 1), "figures": figures}


def results_table(results: Sequence[PartResult]) -> str:
    """The one table of the run in Markdown: a row for each figure, and one for each part that did not end well."""
    rows = []
    for result in results:
        rows += [_row(result.name, figure) for figure in result.figures]
        if result.ended != "done":
            rows.append([result.name, result.ended, "", "", "", ""])
    return markdown_table(["part", "measured", "figure", "beside", "ratio", "bar, notes"], rows)


def one_line(error: object) -> str:
    """An error as a note: its beginning and its end, without what would break a table."""
    text = " ".join(str(error).replace("|", "/").split())
    return text if len(text) <= _NOTE else f"{text[: _NOTE // 2]} ... {text[-_NOTE // 2 :]}"


def _row(part: str, figure: Figure) -> list[str]:
    beside = "" if figure.beside is None else _number(figure.beside)
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    notes = "; ".join(filter(None, (_bar(figure), figure.note)))
    value = "not measured" if figure.value is None else f"{_number(figure.value)} {figure.unit}".strip()
    return [part, figure.what, value, beside, ratio, notes]


def _bar(figure: Figure) -> str:
    if figure.holds is None:
        return ""
    if figure.at_most is None:
        bar = f"at least {figure.least_ratio:g} x"
    else:
        bar = f"at most {_number(figure.at_most)} {figure.unit}"
    return f"{bar}: {'holds' if figure.holds else 'missed'}"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"
