"""The stages of requests as a picture: bars in SVG text, readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDTH, LEFT, RIGHT, TOP = 720, 170, 80, 96
BAR_PX, ROW_PX = 26, 44
COLOURS = ("#6e7781", "#3b82f6", "#a8851a", "#d4622a", "#2a9d6f", "#8957e5")
GREY = "#6e7781"
LABEL_PX = 34
"""A part narrower than this has no room for its number."""


def picture(rows: Mapping[str, Sequence[float]], stages: Sequence[str], *, cores: int) -> str:
    """One bar a request: each stage's share of its time; the milliseconds in all stand at the end."""
    height = TOP + ROW_PX * len(rows) + 8
    parts = [_head(height, cores), *_legend(stages)]
    for number, (name, milliseconds) in enumerate(rows.items()):
        parts += _bar(name, milliseconds, TOP + number * ROW_PX)
    return "\n".join([*parts, "</svg>\n"])


def _head(height: int, cores: int) -> str:
    stages = "".join(f".stage{n}{{fill:{c}!important}}" for n, c in enumerate(COLOURS))
    light, dark = (
        f"@media(prefers-color-scheme:{scheme}){{text{{fill:{text}}}.dim{{fill:{dim}}}}}"
        for scheme, text, dim in (("light", "#1f2328", "#59636e"), ("dark", "#e6edf3", "#9198a1"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">\n'
        "<title>Where the time of a lone request goes</title>\n"
        f"<style>text,.dim{{fill:{GREY}}}.in{{fill:#fff!important;font-size:12px}}{stages}{light}{dark}</style>\n"
        '<text x="12" y="24" font-size="16" font-weight="600">Where the time of a lone request goes</text>\n'
        f'<text x="12" y="44" class="dim">share of each stage, with its milliseconds; {cores} cores</text>'
    )


def _legend(stages: Sequence[str]) -> list[str]:
    parts, x = [], 12.0
    for number, stage in enumerate(stages):
        parts.append(f'<rect class="stage{number}" x="{x:.0f}" y="58" width="12" height="12" rx="2"/>')
        parts.append(f'<text x="{x + 17:.0f}" y="69">{stage}</text>')
        x += 34 + 6.6 * len(stage)
    return parts


def _bar(name: str, milliseconds: Sequence[float], y: float) -> list[str]:
    whole, x = sum(milliseconds), float(LEFT)
    middle = y + BAR_PX / 2 + 5
    parts = [f'<text x="{LEFT - 10}" y="{middle:.0f}" text-anchor="end">{name}</text>']
    for number, part in enumerate(milliseconds):
        width = (WIDTH - LEFT - RIGHT) * part / whole
        parts.append(f'<rect class="stage{number}" x="{x:.1f}" y="{y:.0f}" width="{width:.1f}" height="{BAR_PX}"/>')
        if width >= LABEL_PX:
            parts.append(
                f'<text class="in" x="{x + width / 2:.1f}" y="{middle:.0f}" text-anchor="middle">{part:.1f}</text>'
            )
        x += width
    parts.append(f'<text x="{x + 10:.1f}" y="{middle:.0f}">{whole:.1f} ms</text>')
    return parts
