"""The bandwidth benchmark's numbers as a picture: SVG text, readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 60, 210, 64, 48
COLOURS = ("#d4622a", "#a8851a", "#3b82f6")
GREY = "#6e7781"
"""These can be read on white and on black; viewers that know their page's scheme show text with more contrast."""

LINE_PX = 17
"""The least distance between two labels."""

Series = Mapping[str, Mapping[int, float]]
"""MB/s by number of workers, by way; the last one is ours."""


def picture(series: Series, *, link_mb_s: float, link_name: str) -> str:
    """Lines of megabytes a second over the number of clients and workers, each with its name at its end."""
    most = max(count for speeds in series.values() for count in speeds)
    plot = _Plot(most_x=most, most_y=most * link_mb_s)
    ways = list(series.values())
    parts = [
        *_frame(plot, sorted(ways[0]), link_mb_s),
        *(_line(plot, speeds, f"way{number}") for number, speeds in enumerate(ways)),
        *_labels(plot, series),
    ]
    return "\n".join([_head(link_name), *parts, "</svg>\n"])


class _Plot:
    """Where a number of workers and a speed are on the picture."""

    def __init__(self, *, most_x: float, most_y: float) -> None:
        self.most_x = most_x
        self.most_y = most_y

    def x(self, count: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * count / self.most_x

    def y(self, mb_s: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * mb_s / self.most_y


def _head(link_name: str) -> str:
    ways = "".join(f".way{n}{{stroke:{c};fill:{c}}}" for n, c in enumerate(COLOURS))
    light, dark = (
        f"@media(prefers-color-scheme:{scheme}){{text{{fill:{text}}}.dim{{fill:{dim}}}}}"
        for scheme, text, dim in (("light", "#1f2328", "#59636e"), ("dark", "#e6edf3", "#9198a1"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="14">\n'
        f"<title>1 MB images posted by N clients to N workers, each on a link of {link_name}</title>\n"
        f"<style>text,.dim{{fill:{GREY}}}.grid{{stroke:#8b949e;stroke-opacity:.35}}"
        f".limit{{stroke:#8b949e;stroke-dasharray:4 4}}{ways}{light}{dark}"
        "polyline{fill:none!important;stroke-width:2.5}polyline.way1{stroke-dasharray:8 6}</style>\n"
        f'<text x="{LEFT}" y="24" font-size="16" font-weight="600">'
        "1 MB images posted by N clients to N workers, MB/s</text>\n"
        f'<text x="{LEFT}" y="44" class="dim">each host on a link of {link_name}; grey: all links full</text>'
    )


def _frame(plot: _Plot, counts: Sequence[int], link_mb_s: float) -> list[str]:
    parts = []
    for mb_s in range(0, int(plot.most_y) + 1, max(1, round(plot.most_y / 40)) * 10):
        y = plot.y(mb_s)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{plot.x(plot.most_x):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="dim" x="{LEFT - 8}" y="{y + 5:.1f}" text-anchor="end">{mb_s}</text>')
    for count in counts:
        x, y = plot.x(count), HEIGHT - BOTTOM + 20
        parts.append(f'<text class="dim" x="{x:.1f}" y="{y}" text-anchor="middle">{count}</text>')
    parts.append(
        f'<text class="dim" x="{plot.x(plot.most_x / 2):.1f}" y="{HEIGHT - 8}" text-anchor="middle">'
        "clients and workers</text>"
    )
    ends = [(counts[0], counts[0] * link_mb_s), (counts[-1], counts[-1] * link_mb_s)]
    (x1, y1), (x2, y2) = ((plot.x(count), plot.y(mb_s)) for count, mb_s in ends)
    parts.append(f'<line class="limit" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    return parts


def _line(plot: _Plot, speeds: Mapping[int, float], name: str) -> str:
    points = [(plot.x(count), plot.y(mb_s)) for count, mb_s in sorted(speeds.items())]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in points)
    return f'<polyline class="{name}" points="{line}"/>{dots}'


def _labels(plot: _Plot, series: Series) -> list[str]:
    """Each way's name and last speed at its line's end, moved apart where lines end close together."""
    ends = sorted((max(speeds.items())[1], number, way) for number, (way, speeds) in enumerate(series.items()))
    parts, below = [], float(HEIGHT - BOTTOM + LINE_PX)
    for mb_s, number, way in ends:
        y = min(plot.y(mb_s), below - LINE_PX)
        below = y
        x = plot.x(plot.most_x) + 12
        parts.append(f'<circle class="way{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
        parts.append(f'<text x="{x + 9:.1f}" y="{y + 5:.1f}">{way}: {mb_s:.1f}</text>')
    return parts
