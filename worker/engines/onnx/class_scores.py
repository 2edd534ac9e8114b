"""The output of an .onnx file that holds the scores, as an array; converters of scikit-learn write it as maps.

Such a file has two outputs: the best label, and for each image a map from label to score (the operation ZipMap).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.model_io.layer_names import choose_layer

_MAPS = "seq(map("
_LABELS = ("tensor(string)", "tensor(int64)")


def scores_output(outputs: Sequence[Any], name: str | None) -> Any:
    """The output called `name`; without a name the only output, or the only one that is not the best label.

    Raises ModelError, with the names that exist, if there is no such output.
    """
    likely = [output for output in outputs if output.type not in _LABELS]
    candidates = likely if name is None and len(likely) == 1 else outputs
    return choose_layer({output.name: output for output in candidates}, name, "--output-layer")


def holds_maps(output: Any) -> bool:
    """Whether an output is a sequence of maps from label to score."""
    return str(output.type).startswith(_MAPS)


def keys_of(maps: Sequence[Mapping[Any, float]]) -> tuple[Any, ...]:
    """The keys of the maps, names or class numbers; their order is that of the scores in `array_of`."""
    return tuple(sorted(maps[0]))


def array_of(maps: Sequence[Mapping[Any, float]], keys: Sequence[Any]) -> NDArray[np.float32]:
    """Scores [n, classes] of n maps, in the order of `keys`."""
    return np.array([[each[key] for key in keys] for each in maps], np.float32)
