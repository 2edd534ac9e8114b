"""Outputs and timings of several engines -> which of them serves, and the table that says why. Pure.

`Choice` is what /readyz shows; `Recipe` is what the next start needs to load the same without choosing again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.source import Precision, Preprocess
from worker.batching.policy import WIDE_FLATTERED

TOLERANCE: Mapping[Precision, float] = {"f32": 1e-3, "bf16": 0.05}
"""How far a probability may be from the reference's. bf16 has 8 bits of fraction: 0.024 was the most seen."""


@dataclass(frozen=True)
class Row:
    """What became of one engine.

    images_per_s: by batch size; empty if it was not timed
    streams_per_s: images a second of all its streams together, an image each; None if it has none
    difference:   the largest difference of a probability from the reference's; None if it was not compared
    left_out:     why it cannot be chosen, in words; empty if it can
    """

    engine: str
    images_per_s: Mapping[int, float] = field(default_factory=dict)
    difference: float | None = None
    left_out: str = ""
    streams_per_s: float | None = None

    @property
    def busy_per_s(self) -> float:
        """Images a second where many wait: of a worker's way to use this engine, which `learn_pace` finds."""
        wide = self.images_per_s[max(self.images_per_s)] * (1 - WIDE_FLATTERED)
        return max(wide, self.streams_per_s or 0.0)


@dataclass(frozen=True)
class Choice:
    """Which engine serves a model, which one it was compared with, why, and how all of them did."""

    chosen: str
    reference: str
    why: str
    precision: Precision = "f32"
    rows: tuple[Row, ...] = ()

    def describe(self) -> dict[str, Any]:
        """As JSON takes it, for /readyz and `p2p status`."""
        rows = [
            {
                **asdict(row),
                "images_per_s": {str(size): round(rate, 1) for size, rate in row.images_per_s.items()},
                "streams_per_s": None if row.streams_per_s is None else round(row.streams_per_s, 1),
            }
            for row in self.rows
        ]
        return {**asdict(self), "rows": rows}

    def __str__(self) -> str:
        """The one line of the log."""
        timed = [f"{row.engine} {_rates(row)}{_apart(row, self.reference)}" for row in self.rows if row.images_per_s]
        others = [f"{row.engine}: {row.left_out}" for row in self.rows if row.left_out]
        sizes = next((" and ".join(map(str, row.images_per_s)) for row in self.rows if row.images_per_s), "")
        table = f" Images a second in batches of {sizes}: {', '.join(timed)}." if timed else ""
        rest = f" Left out: {'; '.join(others)}." if others else ""
        return f"Engine {self.chosen}, {self.precision}: {self.why}.{table}{rest}"


@dataclass(frozen=True)
class Recipe:
    """How to load what was chosen, so that it does as the reference does.

    file:       the converted model's name in the choice's folder; None for the model's own files
    preprocess: settled by the reference; None to let the engine settle it again, as the reference itself does
    batch, pixels, platform: as the reference has them, see `InputSpec` and `Engine`
    """

    file: str | None
    preprocess: Preprocess | None
    batch: int | None
    pixels: str
    platform: str


def difference(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """The largest difference between probabilities [n, classes]; infinite for other shapes and for NaN."""
    if wanted.shape != found.shape or not np.isfinite(found).all():
        return math.inf
    return float(np.abs(wanted - found).max())


def disagreement(wanted: NDArray[np.float32], found: NDArray[np.float32], *, tolerance: float) -> str:
    """Why `found` [n, classes] is not as good as the reference's `wanted`, in words; empty if it is.

    It must be within `tolerance`, with the same best class, unless the reference's own two best are closer to
    each other than that.
    """
    if wanted.shape != found.shape:
        return f"gives outputs of the shape {list(found.shape[1:])}, not {list(wanted.shape[1:])}"
    apart = difference(wanted, found)
    if apart > tolerance:
        return f"differs from the reference by {apart:.2g} (at most {tolerance:g} is allowed)"
    mine = wanted[np.arange(len(wanted)), found.argmax(axis=1)]
    missed = int((wanted.max(axis=1) - mine > tolerance).sum())
    return f"sees another best class in {missed} of {len(wanted)} images" if missed else ""


def fastest(rows: Sequence[Row]) -> str | None:
    """The engine with the best images a second, by the geometric mean of one and of many; None if none is left."""
    fit = [row for row in rows if not row.left_out and row.images_per_s]
    best = max(fit, key=lambda row: row.images_per_s[min(row.images_per_s)] * row.busy_per_s, default=None)
    return best.engine if best else None


def _rates(row: Row) -> str:
    wide = " / ".join(f"{rate:.0f}" for rate in row.images_per_s.values())
    return wide if row.streams_per_s is None else f"{wide} / {row.streams_per_s:.0f} in streams"


def _apart(row: Row, reference: str) -> str:
    if row.engine == reference and not row.difference:
        return " (reference)"
    return f" (within {row.difference:.1g})" if row.difference is not None else ""
