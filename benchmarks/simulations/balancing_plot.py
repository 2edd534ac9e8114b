"""The balancing simulation's 99th percentiles as a picture: SVG text, readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 56, 200, 64, 48
COLOURS = ("#8b949e", "#a8851a", "#a855f7", "#3b82f6", "#0e9f6e", "#d4622a", "#d6409f")
GREY = "#6e7781"
"""These can be read on white and on black; viewers that know their page's scheme show text with more contrast."""

LINE_PX = 18
"""The least distance between two labels."""

Series = Mapping[str, Mapping[int, float]]
"""p99 in predictions by number of workers, by way to pick."""


def picture(series: Series, *, clients: int, load: float, slower: float) -> str:
    """Lines of p99 over the number of workers, both on logarithmic scales, each with its name at its end."""
    counts = sorted({count for times in series.values() for count in times})
    plot = _Plot(counts, [time for times in series.values() for time in times.values()])
    parts = [
        *_frame(plot, counts),
        *(_line(plot, times, f"way{number}") for number, times in enumerate(series.values())),
        *_labels(plot, series),
    ]
    return "\n".join([_head(clients, load, slower), *parts, "</svg>\n"])


class _Plot:
    """Where a number of workers and a time are on the picture."""

    def __init__(self, counts: Sequence[int], times: Sequence[float]) -> None:
        self._counts = (log10(counts[0]), log10(counts[-1]))
        self.decades = range(int(log10(min(times))), int(log10(max(times))) + 2)
        self.right = WIDTH - RIGHT

    def x(self, count: float) -> float:
        first, last = self._counts
        return LEFT + (self.right - LEFT) * (log10(count) - first) / ((last - first) or 1.0)

    def y(self, time: float) -> float:
        part = (log10(time) - self.decades[0]) / (self.decades[-1] - self.decades[0])
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part


def _head(clients: int, load: float, slower: float) -> str:
    ways = "".join(f".way{n}{{stroke:{c};fill:{c}}}" for n, c in enumerate(COLOURS))
    light, dark = (
        f"@media(prefers-color-scheme:{scheme}){{text{{fill:{text}}}.dim{{fill:{dim}}}}}"
        for scheme, text, dim in (("light", "#1f2328", "#59636e"), ("dark", "#e6edf3", "#9198a1"))
    )
    title = f"p99 in predictions, one worker {slower:g} x slower"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="14">\n'
        f"<title>{title}, by number of workers and way to pick</title>\n"
        f"<style>text,.dim{{fill:{GREY}}}.grid{{stroke:#8b949e;stroke-opacity:.35}}{ways}{light}{dark}"
        "polyline{fill:none!important;stroke-width:2.5}</style>\n"
        f'<text x="{LEFT}" y="24" font-size="16" font-weight="600">{title}</text>\n'
        f'<text x="{LEFT}" y="44" class="dim">simulated: {clients} clients, {load:.0%} of the capacity asked for; '
        "both scales logarithmic</text>"
    )


def _frame(plot: _Plot, counts: Sequence[int]) -> list[str]:
    parts = []
    for decade in plot.decades:
        y = plot.y(10**decade)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{plot.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="dim" x="{LEFT - 8}" y="{y + 5:.1f}" text-anchor="end">{10**decade:g}</text>')
    for count in counts:
        x, y = plot.x(count), HEIGHT - BOTTOM + 20
        parts.append(f'<text class="dim" x="{x:.1f}" y="{y}" text-anchor="middle">{count}</text>')
    middle = (LEFT + plot.right) / 2
    parts.append(f'<text class="dim" x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">workers</text>')
    return parts


def _line(plot: _Plot, times: Mapping[int, float], name: str) -> str:
    points = [(plot.x(count), plot.y(time)) for count, time in sorted(times.items())]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in points)
    return f'<polyline class="{name}" points="{line}"/>{dots}'


def _labels(plot: _Plot, series: Series) -> list[str]:
    """Each way's name and last time at its line's end, moved apart where lines end close together."""
    ends = sorted((max(times.items())[1], number, way) for number, (way, times) in enumerate(series.items()))
    parts, below = [], float(HEIGHT - BOTTOM)
    for time, number, way in ends:
        y = min(plot.y(time), below - LINE_PX)
        below = y
        x = plot.right + 12
        parts.append(f'<circle class="way{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
        parts.append(f'<text x="{x + 9:.1f}" y="{y + 5:.1f}">{way}: {time:.1f}</text>')
    return parts
