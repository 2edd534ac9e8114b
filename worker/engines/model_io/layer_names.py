"""The names of a model's inputs and outputs: which one a flag names, zeros for the others, and no name twice."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from worker.errors import ModelError

_log = logging.getLogger(__name__)


def choose_layer(layers: Mapping[str, Any] | Iterable[tuple[Iterable[str], Any]], name: str | None, flag: str) -> Any:
    """The layer called `name`, with or without `:0`; without a name the only layer there is.

    `layers` are the model's inputs or outputs by name, or with several names each. Raises ModelError, with `flag` and
    the names that exist, if none or several fit.
    """
    named = [([key], layer) for key, layer in layers.items()] if isinstance(layers, Mapping) else list(layers)
    known = [({each.removesuffix(":0") for each in names}, layer) for names, layer in named]
    wanted = name.removesuffix(":0") if name else None
    found = [layer for names, layer in known if wanted is None or wanted in names]
    if len(found) != 1:
        listed = ", ".join(sorted(min(names, default="?") for names, _ in known))
        raise ModelError(f"{flag} must name one of these of the model: {listed}.")
    return found[0]


def distinct(names: Sequence[str]) -> list[str]:
    """The names, of which those that occur several times get the number of their place: a, b.1, b.2."""
    return [name if names.count(name) == 1 else f"{name}.{place}" for place, name in enumerate(names)]


def zeros_for(name: str, shape: Sequence[int | None], dtype: DTypeLike) -> NDArray[Any]:
    """The value of an input that takes no image, beside the one that `--input-layer` names; a log line says so."""
    _log.info("The model's other input %s gets zeros: --input-layer names the one that takes images.", name)
    return np.zeros([length or 1 for length in shape], dtype)
