"""The batching simulation's numbers as a picture: SVG text, readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping

WIDTH, HEIGHT = 760, 380
LEFT, TOP, BOTTOM, PANEL, BETWEEN = 56, 96, 48, 300, 50
COLOURS = ("#a8851a", "#d4622a", "#8b5cf6", "#3b82f6")
DASHES = ("2 4", "8 6", "1 5", "none")
GREY = "#6e7781"
"""These can be read on white and on black; viewers that know their page's scheme show text with more contrast."""

Panel = Mapping[str, Mapping[float, float]]
"""p99 in milliseconds by load, by policy."""


def picture(panels: Mapping[str, Panel]) -> str:
    """One panel for each kind of arrivals: lines of p99 over load, on a logarithmic scale."""
    values = [ms for panel in panels.values() for line in panel.values() for ms in line.values()]
    scale = _Scale(least=10 ** math.floor(math.log10(min(values))), most=10 ** math.ceil(math.log10(max(values))))
    parts = [_head(next(iter(panels.values())))]
    for number, (title, panel) in enumerate(panels.items()):
        parts += _panel(scale, LEFT + number * (PANEL + BETWEEN), title, panel)
    return "\n".join([*parts, "</svg>\n"])


class _Scale:
    """Where milliseconds are, up and down."""

    def __init__(self, *, least: float, most: float) -> None:
        self.least, self.most = least, most

    def y(self, ms: float) -> float:
        share = math.log10(ms / self.least) / math.log10(self.most / self.least)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    @property
    def ticks(self) -> list[float]:
        decades = round(math.log10(self.most / self.least))
        ticks = [self.least * 10**decade * step for decade in range(decades) for step in (1, 2, 5)]
        return [*ticks, self.most]


def _x(left: float, load: float) -> float:
    return left + PANEL * load


def _head(panel: Panel) -> str:
    lines = "".join(
        f".line{n}{{stroke:{c};fill:{c};stroke-dasharray:{d}}}"
        for n, (c, d) in enumerate(zip(COLOURS, DASHES, strict=True))
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
        "<title>99th percentile of latency by load, for four batching policies</title>\n"
        f"<style>text,.dim{{fill:{GREY}}}.grid{{stroke:#8b949e;stroke-opacity:.35}}{lines}{light}{dark}"
        "polyline{fill:none!important;stroke-width:2.5}circle{stroke:none}</style>\n"
        f'<text x="{LEFT}" y="24" font-size="16" font-weight="600">'
        "From arrival to answer, 99th percentile in ms</text>\n" + "\n".join(legend)
    )


def _panel(scale: _Scale, left: float, title: str, panel: Panel) -> list[str]:
    parts = [f'<text x="{left}" y="{TOP - 14}" font-weight="600">{title}</text>']
    for ms in scale.ticks:
        y = scale.y(ms)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + PANEL}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="dim" x="{left - 8}" y="{y + 5:.1f}" text-anchor="end">{ms:g}</text>')
    for load in next(iter(panel.values())):
        x, y = _x(left, load), HEIGHT - BOTTOM + 20
        parts.append(f'<text class="dim" x="{x:.1f}" y="{y}" text-anchor="middle">{load:.0%}</text>')
    parts.append(
        f'<text class="dim" x="{left + PANEL / 2}" y="{HEIGHT - 8}" text-anchor="middle">load, of full batches</text>'
    )
    for number, line in enumerate(panel.values()):
        points = [(_x(left, load), scale.y(ms)) for load, ms in line.items()]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line{number}" points="{joined}"/>')
        parts += [f'<circle class="line{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in points]
    return parts
