"""Numbers -> figures as SVG, for a page that loads nothing; pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from worker.training.report.measures import CalibrationBin, Interval

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 460, 300, 52, 44, 12, 16
_BLUE, _GREY = "#1f6fb2", "#8a8f98"
_MOST_LABELS = 40
"""Labels that a confusion matrix is drawn for; larger ones are in report.json only."""


def learning_curve(points: Sequence[tuple[int, Interval]]) -> str:
    """Accuracy with its interval over the number of photos for training, on a scale of doublings."""
    if not points:
        return ""
    logs = [float(np.log2(photos)) for photos, _ in points]
    low, high = min(logs), max(max(logs), min(logs) + 1e-9)
    floor = min(0.9, min(point.low for _, point in points) // 0.1 * 0.1)
    x = [_LEFT + 20 + (_plot_width() - 40) * (log - low) / (high - low) for log in logs]
    parts = [_axes(floor, "photos for training", "accuracy")]
    for place, (photos, point) in zip(x, points, strict=True):
        top, bottom = _y(point.high, floor), _y(point.low, floor)
        parts.append(f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" stroke="{_BLUE}"/>')
        parts.append(f'<circle cx="{place:.1f}" cy="{_y(point.share, floor):.1f}" r="4" fill="{_BLUE}"/>')
        parts.append(_text(place, _HEIGHT - _BOTTOM + 16, str(photos), "middle"))
    line = " ".join(f"{place:.1f},{_y(point.share, floor):.1f}" for place, (_, point) in zip(x, points, strict=True))
    parts.append(f'<polyline points="{line}" fill="none" stroke="{_BLUE}" stroke-width="2"/>')
    return _svg(_WIDTH, _HEIGHT, parts, "Learning curve")


def calibration_curve(bins: Sequence[CalibrationBin]) -> str:
    """The share of right answers over the probability that the model gives; on the diagonal both are equal."""
    parts = [_axes(0.0, "probability of the best label", "share that is right")]
    x0, x1 = _LEFT, _WIDTH - _RIGHT
    parts.append(
        f'<line x1="{x0}" y1="{_y(0, 0):.1f}" x2="{x1}" y2="{_y(1, 0):.1f}" stroke="{_GREY}" stroke-dasharray="4"/>'
    )
    most = max((each.photos for each in bins), default=1)
    for each in bins:
        place = _LEFT + _plot_width() * each.confidence
        size = 3 + 7 * (each.photos / most) ** 0.5
        parts.append(
            f'<circle cx="{place:.1f}" cy="{_y(each.accuracy, 0):.1f}" r="{size:.1f}" fill="{_BLUE}">'
            f"<title>{each.photos} photos: probability {each.confidence:.2f}, right {each.accuracy:.2f}</title>"
            "</circle>"
        )
    ticks = [tick / 10 for tick in range(0, 11, 2)]
    parts += [_text(_LEFT + _plot_width() * tick, _HEIGHT - _BOTTOM + 16, f"{tick:g}", "middle") for tick in ticks]
    return _svg(_WIDTH, _HEIGHT, parts, "Calibration")


def confusion_matrix(counts: NDArray[np.int64], names: Sequence[str]) -> str:
    """A table of colours with numbers: rows are true labels, columns predicted ones."""
    if len(names) > _MOST_LABELS:
        return ""
    cell, left, top = 30, 150, 110
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = []
    for row, name in enumerate(names):
        y = top + row * cell
        parts.append(_text(left - 6, y + 19, _short(name), "end"))
        parts.append(
            f'<text transform="translate({left + row * cell + 19},{top - 6}) rotate(-60)" font-size="11">'
            f"{escape(_short(name))}</text>"
        )
        for column, other in enumerate(names):
            x, share = left + column * cell, float(shares[row, column])
            colour = "31,111,178" if row == column else "200,60,40"
            ink = "#fff" if share > 0.55 else "currentColor"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" fill="rgba({colour},{share:.2f})" '
                f'stroke="#8885"><title>{escape(name)} taken for {escape(other)}: {counts[row, column]}</title></rect>'
            )
            if counts[row, column]:
                parts.append(
                    f'<text x="{x + cell / 2 - 0.5}" y="{y + 19}" font-size="11" text-anchor="middle" fill="{ink}">'
                    f"{counts[row, column]}</text>"
                )
    size = len(names) * cell
    return _svg(left + size + 70, top + size + 8, parts, "Confusion matrix")


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"


def _plot_width() -> float:
    return _WIDTH - _LEFT - _RIGHT


def _y(value: float, floor: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * (value - floor) / (1 - floor)


def _axes(floor: float, below: str, beside: str) -> str:
    parts = []
    for tick in np.linspace(floor, 1, 6):
        y = _y(float(tick), floor)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8884"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{tick:.2f}", "end"))
    parts.append(_text(_LEFT + _plot_width() / 2, _HEIGHT - 6, below, "middle"))
    middle = (_HEIGHT - _BOTTOM + _TOP) / 2
    parts.append(
        f'<text transform="translate(12,{middle}) rotate(-90)" font-size="12" text-anchor="middle" '
        f'fill="currentColor">{escape(beside)}</text>'
    )
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="{anchor}" fill="currentColor">{escape(text)}</text>'
    )


def _svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}">'
        f"{''.join(parts)}</svg>"
    )
