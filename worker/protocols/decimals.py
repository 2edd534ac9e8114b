"""Float32 numbers -> JSON text, as TensorFlow Serving prints them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.errors import ModelError


def decimals(row: NDArray[np.float32]) -> str:
    """A JSON array of the numbers [n]: 6 digits where they give the number back, else 9; `1.0`, never `1`.

    The rule of TensorFlow Serving's util/json_tensor.cc (WriteDecimal). Raises ModelError for what is no number.
    """
    if not np.isfinite(row).all():
        raise ModelError("The model gave an answer that is not a number: check the model and its scaling.")
    values = row.tolist()
    texts = ("%.6g " * len(values) % tuple(values)).split()
    inexact = np.flatnonzero(np.array([float(text) for text in texts], np.float32) != row)
    for index in inexact.tolist():
        texts[index] = f"{values[index]:.9g}"
    return f"[{','.join(text if '.' in text or 'e' in text else f'{text}.0' for text in texts)}]"


def decimal_rows(rows: Sequence[NDArray[np.float32]]) -> str:
    """A JSON array of such arrays."""
    return f"[{','.join(decimals(row) for row in rows)}]"
