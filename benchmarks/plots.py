"""The pictures of the documentation, drawn with matplotlib as SVG that is readable on light and on dark pages.

    python -m benchmarks.plots [--out docs/measurements]

draws bandwidth.svg and request.svg from recorded measurements (network/bandwidth.json, worker/request_stages.json). The
benchmarks themselves draw what they have just measured with `--picture FILE`. Equal figures give equal files: the
backgrounds are transparent, colours have a contrast of at least 3 with white and with black, and texts remain texts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator, PercentFormatter

HERE = Path(__file__).parent

GREY = "#7d8590"
COLOURS = ("#d4622a", "#a8851a", "#3b82f6", "#0e9f6e", "#a855f7", "#d6409f", "#7d8590")

STYLE: dict[Any, Any] = {  # its type in matplotlib lists the names of all parameters
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "grid.alpha": 0.35,
    "grid.color": GREY,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "p2p-serving",
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}

LABEL_POINTS = 13
"""The least distance between the labels of two lines."""


def save_bandwidth(path: Path, series: Mapping[str, Mapping[int, float]], *, link_mb_s: float, link_name: str) -> None:
    """Megabytes per second over the number of clients and workers, a line for each route.

    series: MB/s by number, by route
    """
    title = "1 MB images posted by N clients to N workers, MB/s"
    with _figure(path, title, size=(7.2, 3.9)) as figure:
        axes = figure.subplots()
        counts = sorted(next(iter(series.values())))
        axes.plot(counts, [count * link_mb_s for count in counts], ":", color=GREY, zorder=1)
        for speeds, colour in zip(series.values(), COLOURS, strict=False):
            axes.plot(list(speeds), list(speeds.values()), "o-", color=colour, clip_on=False)
        axes.set_xlim(0, counts[-1])
        axes.set_ylim(0)
        axes.xaxis.set_major_locator(FixedLocator(counts))
        axes.set_xlabel(f"clients and workers, each on a link of {link_name}; dotted: all links full")
        ends = {f"{route}: {speeds[counts[-1]]:.1f}": speeds[counts[-1]] for route, speeds in series.items()}
        _label_ends(figure, axes, ends)


def save_balancing(
    path: Path, series: Mapping[str, Mapping[int, float]], *, clients: int, load: float, slower: float
) -> None:
    """The p99 of latency over the number of workers, both logarithmic, a line for each way to pick a worker.

    series: p99 in predictions by number of workers, by way to pick
    """
    title = f"p99 in predictions, one worker {slower:g} x slower"
    with _figure(path, title, size=(7.2, 4.2)) as figure:
        axes = figure.subplots()
        for (way, times), colour in zip(series.items(), cycle(COLOURS[::-1]), strict=False):
            axes.plot(
                list(times), list(times.values()), "o-", color=colour, clip_on=False, lw=3 if way == "ours" else None
            )
        counts = sorted(next(iter(series.values())))
        axes.set_xscale("log")
        axes.set_yscale("log")
        _plain_ticks(axes, counts)
        axes.set_xlim(counts[0], counts[-1] if len(counts) > 1 else counts[0] * 2)
        axes.set_xlabel(f"workers (simulated: {clients} clients, {load:.0%} of the capacity asked for)")
        _label_ends(
            figure, axes, {f"{way}: {times[counts[-1]]:.1f}": times[counts[-1]] for way, times in series.items()}
        )


def save_batching(path: Path, rows: Mapping[str, Mapping[str, Mapping[str, Mapping[float, float]]]]) -> None:
    """Latencies over the load: a row of panels for each quantile, in it a panel for each kind of arrivals.

    rows: milliseconds by load, by policy, by arrivals, by quantile
    """
    styles = {"color": ("#a8851a", "#d4622a", "#3b82f6"), "linestyle": (":", "--", "-")}
    title = "From an image's arrival to its answer, in ms"
    with _figure(path, title, size=(7.6, 6.6)) as figure:
        panels = figure.subplots(len(rows), 2, sharex=True, sharey="row", squeeze=False)
        for (quantile, by_arrivals), axes_row in zip(rows.items(), panels, strict=True):
            for (arrivals, policies), axes in zip(by_arrivals.items(), axes_row, strict=False):
                for number, (policy, line) in enumerate(policies.items()):
                    style = {name: values[number % 3] for name, values in styles.items()}
                    axes.plot(list(line), list(line.values()), lw=1.8, label=policy, **style)
                axes.set_title(f"{quantile}, {arrivals}")
                axes.set_yscale("log")
                _plain_ticks(axes, sorted(next(iter(policies.values()))))
                axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _add_legend(figure, panels[0][0], title, columns=3)
        figure.supxlabel("images that arrive, as a share of what the engine does in full batches", fontsize="medium")


def save_request_stages(path: Path, rows: Mapping[str, Sequence[float]], stages: Sequence[str], *, cores: int) -> None:
    """A bar for each request: the share of its time in each stage, with the milliseconds.

    rows: milliseconds of each stage, by name of request
    """
    colours = ("#7d8590", "#3b82f6", "#a8851a", "#d4622a", "#0e9f6e", "#a855f7")
    title = "Where the time of a lone request goes"
    with _figure(path, title, size=(7.4, 0.55 * len(rows) + 1.5)) as figure:
        axes = figure.subplots()
        totals = [sum(parts) for parts in rows.values()]
        names = [f"{name}\n{total:.1f} ms" for name, total in zip(rows, totals, strict=True)]
        left = [0.0] * len(rows)
        for number, (stage, colour) in enumerate(zip(stages, colours, strict=False)):
            shares = [parts[number] / total for parts, total in zip(rows.values(), totals, strict=True)]
            bars = axes.barh(names, shares, left=left, height=0.6, color=colour, label=stage)
            texts = [
                f"{parts[number]:.1f}" if share > 0.06 else ""
                for parts, share in zip(rows.values(), shares, strict=True)
            ]
            axes.bar_label(bars, texts, label_type="center", color="white", fontsize="small")
            left = [start + share for start, share in zip(left, shares, strict=True)]
        axes.invert_yaxis()
        axes.grid(False)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel(f"share of each stage, with its milliseconds; {cores} cores")
        axes.tick_params(left=False)
        axes.spines["left"].set_visible(False)
        _add_legend(figure, axes, title, columns=3)


@contextmanager
def _figure(path: Path, title: str, *, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure of this size in inches, which is saved as SVG when the block ends."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        if not figure.legends:
            figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize="large")
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    # matplotlib leaves blanks at the ends of lines
    path.write_text("\n".join(line.rstrip() for line in path.read_text("utf-8").splitlines()) + "\n", "utf-8")


def _add_legend(figure: Figure, axes: Axes, title: str, *, columns: int) -> None:
    """The title of the figure, and below it the legend of `axes`."""
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside upper left", ncols=columns, alignment="left", borderpad=0)
    legend.set_title(title, FontProperties(weight="bold", size="large"))


def _plain_ticks(axes: Axes, x: Sequence[float]) -> None:
    """Ticks at each x, labels as plain numbers, and on the logarithmic y axis at 1, 2 and 5 of each power of ten."""
    axes.xaxis.set_major_locator(FixedLocator(list(x)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low, high = axes.get_ylim()
    steps = [step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5)]
    shown = [step for step in steps if low <= step <= high]
    axes.yaxis.set_major_locator(FixedLocator(shown if len(shown) <= 8 else [s for s in shown if f"{s:e}"[0] == "1"]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _label_ends(figure: Figure, axes: Axes, ends: Mapping[str, float]) -> None:
    """Write each label to the right of its line's end, in the line's colour; labels that would overlap move up.

    ends: the last y of each line by label, in the order of the lines that have a marker
    """
    lines = [line for line in axes.get_lines() if line.get_marker() == "o"]
    figure.draw_without_rendering()
    x = axes.get_xlim()[1]
    pixels = {label: axes.transData.transform((x, y))[1] for label, y in ends.items()}
    points = 72 / figure.dpi
    lowest = float("-inf")
    for label, line in sorted(zip(ends, lines, strict=True), key=lambda pair: pixels[pair[0]]):
        height = max(pixels[label] * points, lowest + LABEL_POINTS)
        lowest = height
        offset = height - pixels[label] * points
        axes.annotate(
            label,
            (x, ends[label]),
            (10, offset),
            textcoords="offset points",
            color=line.get_color(),
            va="center",
            annotation_clip=False,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "measurements")
    out = parser.parse_args().out
    moved = json.loads((HERE / "network" / "bandwidth.json").read_text())
    series = {way: {int(count): mb_s for count, mb_s in speeds.items()} for way, speeds in moved["mb_s"].items()}
    save_bandwidth(out / "bandwidth.svg", series, link_mb_s=moved["link_mb_s"], link_name=moved["link_name"])
    stages = json.loads((HERE / "worker" / "request_stages.json").read_text())
    save_request_stages(out / "request.svg", stages["ms"], stages["stages"], cores=stages["cores"])


if __name__ == "__main__":
    main()
