"""`--input-layer` and `--output-layer` -> the input or output of a loaded model that they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from worker.errors import ModelError


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
