"""Outputs and timings of several engines -> the engine that serves, and the table that says why. Pure.

/readyz shows the `Choice`; with `LoadOptions` the next start loads the same engine without comparing again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.formats import Precision
from worker.artifacts.preprocess_config import Preprocess
from worker.batching.policy import ALL_CORES_DISCOUNT

TOLERANCE: Mapping[Precision, float] = {"f32": 1e-3, "bf16": 0.05}
"""How far a probability may be from the reference's. bf16 has 8 bits of fraction: the largest seen is 0.024."""


class Candidate(NamedTuple):
    """An engine, and the precision that it computes in."""

    engine: str
    precision: Precision


@dataclass(frozen=True)
class Row:
    """The result of the comparison for one engine in one precision.

    images_per_s: by batch size; empty if it was not timed
    streams_per_s: images a second of all its streams together, one image each; None if it has none
    difference:   the largest difference from the reference of any probability; None if it was not compared
    agreement:    in which share of the sample images its best class is the reference's; None unless it was asked for
    left_out:     why it cannot be chosen, in words; empty if it can
    """

    engine: str
    images_per_s: Mapping[int, float] = field(default_factory=dict)
    difference: float | None = None
    left_out: str = ""
    streams_per_s: float | None = None
    precision: Precision = "f32"
    agreement: float | None = None

    @property
    def candidate(self) -> Candidate:
        """What the row is about."""
        return Candidate(self.engine, self.precision)

    @property
    def busy_per_s(self) -> float:
        """Images a second while a queue waits, the way a worker uses this engine (`learn_pace`)."""
        all_cores = self.images_per_s[max(self.images_per_s)] * (1 - ALL_CORES_DISCOUNT)
        return max(all_cores, self.streams_per_s or 0.0)


@dataclass(frozen=True)
class Choice:
    """The engine that serves a model, the reference, the reason, and the results of all engines."""

    chosen: str
    reference: str
    why: str
    precision: Precision = "f32"
    rows: tuple[Row, ...] = ()

    def describe(self) -> dict[str, Any]:
        """The choice as values for JSON, for /readyz and `p2p status`."""
        rows = [
            {
                **asdict(row),
                "images_per_s": {str(size): round(rate, 1) for size, rate in row.images_per_s.items()},
                "streams_per_s": None if row.streams_per_s is None else round(row.streams_per_s, 1),
                "agreement": None if row.agreement is None else round(row.agreement, 4),
            }
            for row in self.rows
        ]
        return {**asdict(self), "rows": rows}

    def __str__(self) -> str:
        """The choice as one line for the log."""
        called = _names(self.rows)
        compared = [(called[row.candidate], row) for row in self.rows]
        timed = [f"{name} {_rates(row)}{_distance(row, self.reference)}" for name, row in compared if row.images_per_s]
        others = [f"{name}: {row.left_out}" for name, row in compared if row.left_out]
        sizes = next((" and ".join(map(str, row.images_per_s)) for row in self.rows if row.images_per_s), "")
        table = f" Images a second in batches of {sizes}: {', '.join(timed)}." if timed else ""
        rest = f" Left out: {'; '.join(others)}." if others else ""
        return f"Engine {self.chosen}, {self.precision}: {self.why}.{table}{rest}"


@dataclass(frozen=True)
class LoadOptions:
    """How to load the chosen engine so that it gives the same answers as the reference.

    file:       the converted model's name in the choice's folder; None for the model's own files
    preprocess: the reference's values; None to let the engine find them again, for the reference itself
    batch, pixels, platform: those of the reference, see `InputSpec` and `Engine`
    precision:  the precision to compute in
    """

    file: str | None
    preprocess: Preprocess | None
    batch: int | None
    pixels: str
    platform: str
    precision: Precision


def difference(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """The largest difference between probabilities [n, classes]; infinite for other shapes and for NaN."""
    if wanted.shape != found.shape or not np.isfinite(found).all():
        return math.inf
    return float(np.abs(wanted - found).max())


def disagreement(wanted: NDArray[np.float32], found: NDArray[np.float32], *, tolerance: float) -> str:
    """Why `found` [n, classes] disagrees with the reference's `wanted`, in words; empty if it agrees.

    It agrees within `tolerance` and with the same best class, unless the reference's own two best are closer to each
    other than that.
    """
    if wanted.shape != found.shape:
        return f"gives outputs of the shape {list(found.shape[1:])}, not {list(wanted.shape[1:])}"
    distance = difference(wanted, found)
    if distance > tolerance:
        return f"differs from the reference by {distance:.2g} (at most {tolerance:g} is allowed)"
    mine = wanted[np.arange(len(wanted)), found.argmax(axis=1)]
    missed = int((wanted.max(axis=1) - mine > tolerance).sum())
    return f"sees another best class in {missed} of {len(wanted)} images" if missed else ""


def agreement(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """The share of images whose best class is the same in both [n, classes]; 0 for other shapes and for NaN."""
    if wanted.shape != found.shape or not np.isfinite(found).all():
        return 0.0
    return float((wanted.argmax(axis=1) == found.argmax(axis=1)).mean())


def disagreement_on_samples(agreed: float, *, asked: float, images: int) -> str:
    """Why an agreement is less than what is asked for, in words; empty if it is not."""
    if agreed >= asked:
        return ""
    other = images - round(agreed * images)
    return f"sees another best class in {other} of {images} sample images (an agreement of {asked:g} is asked for)"


def fastest(rows: Sequence[Row]) -> Row | None:
    """The row with the best geometric mean of images a second, alone and with a queue; None if none is left."""
    fit = [row for row in rows if not row.left_out and row.images_per_s]
    return max(fit, key=lambda row: row.images_per_s[min(row.images_per_s)] * row.busy_per_s, default=None)


def _names(rows: Sequence[Row]) -> Mapping[Candidate, str]:
    """How the log calls each candidate: the engine alone, unless several precisions were compared."""
    compared = [row for row in rows if row.images_per_s or row.difference is not None]
    named = [row.candidate for row in compared] if len({row.precision for row in compared}) > 1 else []
    return {row.candidate: " ".join(row.candidate) if row.candidate in named else row.engine for row in rows}


def _rates(row: Row) -> str:
    all_cores = " / ".join(f"{rate:.0f}" for rate in row.images_per_s.values())
    return all_cores if row.streams_per_s is None else f"{all_cores} / {row.streams_per_s:.0f} in streams"


def _distance(row: Row, reference: str) -> str:
    if row.engine == reference and not row.difference:
        return " (reference)"
    if row.difference is None:
        return ""
    agreed = "" if row.agreement is None else f", agreement {row.agreement:.4g}"
    return f" (within {row.difference:.1g}{agreed})"
