"""Float32 numbers -> JSON text, as TensorFlow Serving prints them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.engines.model_io.outputs import ensure_finite


def decimals(row: NDArray[np.float32]) -> str:
    """A JSON array of the numbers [n]: 6 digits where they give the number back, else 9; `1.0`, never `1`.

    The rule of TensorFlow Serving's util/json_tensor.cc (WriteDecimal). Raises ModelError for what is no number.
    """
    ensure_finite(row)
    values = row.tolist()
    texts = ("%.9g " * len(values) % tuple(values)).split()
    for index in np.flatnonzero(_six_digits_do(row)).tolist():
        texts[index] = f"{values[index]:.6g}"
    for index in np.flatnonzero(row == np.floor(row)).tolist():
        if "e" not in texts[index]:
            texts[index] += ".0"
    return f"[{','.join(texts)}]"


def _six_digits_do(row: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which numbers are the same after rounding to six digits."""
    exact = row.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        scale = 10.0 ** (5 - np.floor(np.log10(np.abs(exact))))
        six = (np.rint(exact * scale) / scale).astype(np.float32)
    same: NDArray[np.bool_] = (six == row) | (row == 0)
    return same


def decimal_rows(rows: Sequence[NDArray[np.float32]]) -> str:
    """A JSON array of such arrays."""
    return f"[{','.join(decimals(row) for row in rows)}]"
