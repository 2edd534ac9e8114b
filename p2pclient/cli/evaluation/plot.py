"""The confusion matrix as a PNG: counts in, a picture out. Needs matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from p2pclient.cli.evaluation.metrics import OTHER, Accuracy
from p2pclient.cli.evaluation.report import summary
from p2pclient.cli.terminal_output.columns import shortened

_CLASSES_WITH_NAMES = 60
_CLASSES_WITH_COUNTS = 40
_NAME_COLUMNS = 24
_INK, _EMPTY = "#1f2328", "#f6f8fa"
_RIGHT = LinearSegmentedColormap.from_list("right", [_EMPTY, "#0e7c5a"])
_WRONG = LinearSegmentedColormap.from_list("wrong", [_EMPTY, "#d4622a"])


def plot(accuracy: Accuracy, path: str) -> None:
    """Write the picture: rows are true labels, columns predicted ones, a cell's shade is its share of the row.

    Names are written while there are at most 60 classes, counts up to 40. Raises OSError if it cannot be written.
    """
    classes, rows = accuracy.classes, accuracy.matrix()
    side_inches = min(14.0, 3.0 + 0.4 * len(classes))
    figure = Figure(figsize=(side_inches + 1.0, side_inches), layout="constrained")
    axes = figure.add_subplot()
    if classes:
        counts = np.array(rows)
        # The exponent keeps rare confusions visible.
        shares = (counts / np.maximum(1, counts.sum(axis=1, keepdims=True))) ** 0.6
        right = np.eye(*counts.shape) == 1
        axes.imshow(np.where(right[..., None], _RIGHT(shares), _WRONG(shares)), interpolation="nearest")
        if len(classes) <= _CLASSES_WITH_COUNTS:
            _write_counts(axes, rows, shares.tolist())
    axes.set_title(summary(accuracy), color=_INK)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.spines[:].set_visible(False)
    _write_names(axes, [shortened(name, _NAME_COLUMNS) for name in classes])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(path, format="png", dpi=100)


def _write_names(axes: Axes, names: Sequence[str]) -> None:
    if not names or len(names) > _CLASSES_WITH_NAMES:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    # A dollar sign in a label is no formula.
    axes.set_xticks(range(len(names) + 1), labels=[*names, OTHER], rotation="vertical", parse_math=False)
    axes.set_yticks(range(len(names)), labels=names, parse_math=False)


def _write_counts(axes: Axes, rows: Sequence[Sequence[int]], shares: Sequence[Sequence[float]]) -> None:
    for y, row in enumerate(rows):
        for x, count in enumerate(row):
            if count:
                color = "white" if shares[y][x] > 0.55 else _INK
                axes.text(x, y, str(count), color=color, ha="center", va="center", fontsize="small")
