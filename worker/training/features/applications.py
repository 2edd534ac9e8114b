"""The networks of keras.applications, with weights that are on this machine; nothing is downloaded. Loads Keras."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.errors import RetrainError
from worker.training.features.keras_network import LAST, KerasNetwork

with quiet_tensorflow():
    import keras

_EARLIER = 3  # layers before the last one whose features are used: the ends of the last stages of other sizes


def application(architecture: str) -> KerasNetwork:
    """A network by its name in keras.applications, such as MobileNetV2, in any spelling (mobilenet_v2).

    retrain.py's `mobilenet_1.0_224` means MobileNet with that width and image size. Raises RetrainError for a name
    that is not known, and for weights that are not on this machine, with the file that is missing.
    """
    build, options = _builder(architecture)
    module = sys.modules[build.__module__]
    edge = int(options.pop("edge", 0)) or _usual_edge(build.__name__)
    images = keras.Input((edge, edge, 3), dtype="uint8", name="images")
    pixels = module.preprocess_input(keras.ops.cast(images, "float32"))
    with _local_weights():
        body = build(input_shape=(edge, edge, 3), include_top=False, weights="imagenet", **options)
    ends = _stage_ends(body)
    outputs = keras.Model(body.inputs, [body.outputs[0], *ends])(pixels)
    mean = keras.layers.GlobalAveragePooling2D
    layers = {LAST: mean()(outputs[0])} | {f"stage-{n}": mean()(end) for n, end in enumerate(outputs[1:], start=1)}
    names = list(layers)
    sets = {"last": names[:1], "last and late": names[:2], "last to early": names}
    return KerasNetwork(images, edge, layers, {name: tuple(layers) for name, layers in sets.items()})


def _builder(architecture: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function of keras.applications, and its options."""
    known = {_plain(name): name for name in dir(keras.applications) if name[0].isupper()}
    name, *sizes = architecture.split("_")
    if _plain(name) == "mobilenet" and len(sizes) == 2 and sizes[1].isdigit():
        try:
            return keras.applications.MobileNet, {"alpha": float(sizes[0]), "edge": int(sizes[1])}
        except ValueError:
            pass
    if _plain(architecture) not in known:
        raise RetrainError(
            f"There is no architecture {architecture!r}: --architecture takes efficientnet_lite0 (the default), "
            f"retrain.py's mobilenet_1.0_224, or one of keras.applications: {', '.join(sorted(known.values()))}."
        )
    return getattr(keras.applications, known[_plain(architecture)]), {}


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _usual_edge(name: str) -> int:
    if name in ("InceptionV3", "InceptionResNetV2", "Xception"):
        return 299
    return 331 if name == "NASNetLarge" else 224


def _stage_ends(body: Any) -> list[Any]:
    """The last output of each earlier stage, the latest first: where the next layer makes the image smaller."""
    outputs = [layer.output for layer in body.layers if not isinstance(layer.output, list)]
    sized = [output for output in outputs if len(output.shape) == 4 and output.shape[1]]
    ends = [one for one, after in pairwise(sized) if after.shape[1] < one.shape[1]]
    return ends[::-1][:_EARLIER]


@contextmanager
def _local_weights() -> Iterator[None]:
    """Let Keras find weights in its folder, and refuse where it would download them."""
    files = sys.modules[keras.utils.get_file.__module__]
    download = files.get_file

    def local(fname: str, origin: str, cache_subdir: str = "models", **_: object) -> str:
        home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        file = home / cache_subdir / fname
        if not file.is_file():
            raise RetrainError(
                f"The weights of this architecture are not on this machine: put {origin} at {file}, or leave out "
                "--architecture for the default network, whose weights are installed."
            )
        return str(file)

    files.__dict__["get_file"] = local
    try:
        yield
    finally:
        files.__dict__["get_file"] = download
