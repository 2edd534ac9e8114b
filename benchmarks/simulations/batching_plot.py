"""The batching simulation's numbers as a picture: SVG text, readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 760, 640
LEFT, TOP, BETWEEN = 56, 100, 60
PANEL_WIDTH, PANEL_HEIGHT = 310, 216
COLOURS = ("#a8851a", "#d4622a", "#8b5cf6", "#3b82f6")
DASHES = ("2 4", "8 6", "none", "none")
WIDTHS = (2.5, 2.5, 7, 2.5)
SHADES = (1, 1, 0.35, 1)
GREY = "#6e7781"
"""These can be read on white and on black; viewers that know their page's scheme show text with more contrast."""

Panel = Mapping[str, Mapping[float, float]]
"""Milliseconds by load, by policy."""


def picture(rows: Mapping[str, Mapping[str, Panel]]) -> str:
    """A row of panels for each share of the images, in it one for each kind of arrivals; logarithmic upwards."""
    parts = [_head(next(iter(next(iter(rows.values())).values())))]
    for row, (share, panels) in enumerate(rows.items()):
        top = TOP + row * (PANEL_HEIGHT + BETWEEN)
        values = [ms for panel in panels.values() for line in panel.values() for ms in line.values()]
        scale = _Scale(values, top)
        for column, (arrivals, panel) in enumerate(panels.items()):
            left = LEFT + column * (PANEL_WIDTH + BETWEEN)
            parts += _panel(scale, left, top, f"{share}, {arrivals}", panel)
    parts.append(
        f'<text class="dim" x="{WIDTH / 2:g}" y="{HEIGHT - 8}" text-anchor="middle">'
        "images that arrive, as a share of what the engine does in full batches</text>"
    )
    return "\n".join([*parts, "</svg>\n"])


class _Scale:
    """Where milliseconds are in a row of panels, from the 1, 2 or 5 below the least to that above the most."""

    def __init__(self, values: Sequence[float], top: float) -> None:
        self._top = top
        decades = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
        steps = [10.0**decade * step for decade in decades for step in (1, 2, 5)]
        least = max(step for step in steps if step <= min(values))
        most = min(step for step in steps if step >= max(values))
        self.ticks = [step for step in steps if least <= step <= most]

    def y(self, ms: float) -> float:
        least, most = self.ticks[0], self.ticks[-1]
        return self._top + PANEL_HEIGHT * (1 - math.log(ms / least) / math.log(most / least))


def _x(left: float, load: float) -> float:
    return left + PANEL_WIDTH * load


def _head(panel: Panel) -> str:
    lines = "".join(
        f".line{n}{{stroke:{colour};fill:{colour};stroke-dasharray:{dash};stroke-width:{width};opacity:{shade}}}"
        for n, (colour, dash, width, shade) in enumerate(zip(COLOURS, DASHES, WIDTHS, SHADES, strict=True))
    )
    light, dark = (
        f"@media(prefers-color-scheme:{scheme}){{text{{fill:{text}}}.dim{{fill:{dim}}}}}"
        for scheme, text, dim in (("light", "#1f2328", "#59636e"), ("dark", "#e6edf3", "#9198a1"))
    )
    legend = []
    for number, name in enumerate(panel):
        x = LEFT + number * 172
        legend.append(f'<polyline class="line{number}" points="{x},50 {x + 26},50"/>')
        legend.append(f'<text x="{x + 32}" y="55">{name}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="14">\n'
        "<title>Median and 99th percentile of latency by load, for four batching policies</title>\n"
        f"<style>text,.dim{{fill:{GREY}}}.grid{{stroke:#8b949e;stroke-opacity:.35}}{lines}{light}{dark}"
        "polyline{fill:none!important}circle{stroke:none}</style>\n"
        f'<text x="{LEFT}" y="24" font-size="16" font-weight="600">'
        "From an image's arrival to its answer, in ms</text>\n" + "\n".join(legend)
    )


def _panel(scale: _Scale, left: float, top: float, title: str, panel: Panel) -> list[str]:
    right, bottom = left + PANEL_WIDTH, top + PANEL_HEIGHT
    parts = [f'<text x="{left}" y="{top - 14}" font-weight="600">{title}</text>']
    for ms in scale.ticks:
        y = scale.y(ms)
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="dim" x="{left - 8}" y="{y + 5:.1f}" text-anchor="end">{ms:g}</text>')
    for load in next(iter(panel.values())):
        x = _x(left, load)
        parts.append(f'<text class="dim" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{load:.0%}</text>')
    for number, line in enumerate(panel.values()):
        points = [(_x(left, load), scale.y(ms)) for load, ms in line.items()]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line{number}" points="{joined}"/>')
    return parts
