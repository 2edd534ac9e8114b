"""The flags about models that several of the worker's commands take, and what they mean together.

They turn into one `ModelSource` for each model of a worker, and a name for each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import typer

from registry.runtime.errors import SettingsError
from registry.runtime.names import service_name
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from worker.artifacts.preprocess_config import Channels as ChannelsWord
    from worker.artifacts.preprocess_config import Order
    from worker.artifacts.preprocess_config import Outputs as OutputsWord
    from worker.artifacts.source import ModelSource
    from worker.images.decode import Resize as ResizeWord

DEFAULT_MAX_PIXELS = 50_000_000
"""That of `ModelSource`, whose module takes too long to import for `p2p --help`; a test holds them equal."""

_MODEL = (
    "SavedModel folder, folder of numbered versions, or a file: ONNX (.onnx), Keras (.keras, .h5, .hdf5), TFLite "
    "(.tflite), TorchScript (.pt, .ts, .torchscript), torch.export (.pt2), OpenVINO (.xml), Caffe (.caffemodel), a "
    "frozen graph (.pb) or a Python class (.py)"
)
_DEFAULT_MODEL = "[default: the ImageNet model EfficientNet-Lite0]"

Models = Annotated[
    list[Path] | None,
    typer.Option(
        "--model",
        metavar="[NAME=]PATH",
        help=f"{_MODEL}; with a NAME it is the service's, and --model may be repeated (in P2P_WORKER_MODEL with a : "
        f"between).  {_DEFAULT_MODEL}",
    ),
]
ModelPath = Annotated[Path | None, typer.Option("--model", metavar="PATH", help=f"{_MODEL}.  {_DEFAULT_MODEL}")]
Graph = Annotated[
    Path | None,
    typer.Option("--graph", help="Frozen graph instead of --model, as retrain.py writes it."),
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", help="One name a line.  [default: labels.txt beside the model]"),
]
InputLayer = Annotated[
    str | None,
    typer.Option(
        "--input-layer",
        "--input_layer",
        help="The graph's input, such as DecodeJpeg/contents:0.",
    ),
]
OutputLayer = Annotated[
    str | None,
    typer.Option(
        "--output-layer",
        "--output_layer",
        help="The graph's output, such as final_result:0.",
    ),
]
Signature = Annotated[
    str | None,
    typer.Option(
        "--signature",
        metavar="NAME",
        help="Which signature of a SavedModel takes the images.  [default: serving_default, or the only one]",
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="auto|NAME",
        help="What runs the model: tensorflow, onnx, openvino, torch, opencv, echo; auto compares those installed.",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="f32|bf16|auto",
        help="Numbers to compute in; bf16 is quicker where the processor has it, and less exact; auto takes the "
        "fastest that agrees on sample images.",
    ),
]
Agreement = Annotated[
    float | None,
    typer.Option(
        "--agreement",
        metavar="SHARE",
        help="For --precision auto: in which share of the sample images the best label must stay the same.  "
        "[default: 0.99]",
    ),
]
Samples = Annotated[
    Path | None,
    typer.Option(
        "--samples",
        metavar="DIR",
        help="For --precision auto: a folder of images like those that will be asked.  [default: samples beside the "
        "model]",
    ),
]
Device = Annotated[str, typer.Option("--device", metavar="auto|cpu|gpu[:N]", help="Where the model runs.")]
GpuMemoryGrowth = Annotated[
    bool,
    typer.Option("--gpu-memory-growth", help="Take a GPU's memory as it is needed."),
]
Layout = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="nhwc|nchw",
        help="Order of the input's dimensions.  [default: the model's]",
    ),
]
Outputs = Annotated[
    str | None,
    typer.Option(
        "--outputs",
        metavar="logits|probabilities",
        help="What the model gives; logits get a softmax.  [default: found out]",
    ),
]
Size = Annotated[
    str | None,
    typer.Option("--size", metavar="HxW", help="Input size.  [default: the model's]"),
]
Resize = Annotated[
    str | None,
    typer.Option("--resize", metavar="crop|stretch", help="How an image gets its size."),
]
Channels = Annotated[
    str | None,
    typer.Option("--channels", metavar="rgb|bgr", help="The order the model was trained on."),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean",
        "--input-mean",
        "--input_mean",
        metavar="N[,N,N]",
        help="Input = (pixel - mean) / std.",
    ),
]
Std = Annotated[
    str | None,
    typer.Option("--std", "--input-std", "--input_std", metavar="N[,N,N]", help="See --mean."),
]
AllowUnsafeModel = Annotated[
    bool,
    typer.Option(
        "--allow-unsafe-model",
        help="Serve models that can run code or touch files (Lambda layers, ReadFile, pickles, model.py in a folder).",
    ),
]
MaxPixels = Annotated[int, typer.Option(min=1, help="Largest image decoded, width x height.")]
Top = Annotated[
    int,
    typer.Option(
        "--num-top-predictions",
        "--num_top_predictions",
        "--top",
        min=1,
        help="Labels an answer holds unless it asks with ?top=.",
    ),
]

_NAMED = re.compile(r"([^/=]*)=(.+)", re.DOTALL)
_HIGHEST_PORT = 65535


class Pixels(NamedTuple):
    """The flags about pixels, as they were typed."""

    size: str | None
    resize: str | None
    channels: str | None
    mean: str | None
    std: str | None
    layout: str | None = None
    outputs: str | None = None


def named_models(models: Sequence[Path], *, service: str | None) -> Sequence[tuple[str, Path | None]]:
    """The name of each model, which is that of its service, and its path; None for the default model.

    Text before the first = is a name unless it contains a slash; a relative path of that form must be written as an
    absolute one.
    Raises SettingsError for names that are missing, given twice, or cannot name a service.
    """
    if not models:
        return [(service or WorkerSettings.service, None)]
    split = [_NAMED.fullmatch(str(model)) for model in models]
    named = [(match[1], Path(match[2])) for match in split if match]
    if len(models) == 1 and not named:
        return [(service or WorkerSettings.service, models[0])]
    if len(named) < len(models):
        nameless = next(model for model, match in zip(models, split, strict=True) if not match)
        raise SettingsError(f"Several models need names: write --model NAME=PATH for {nameless}.")
    if service is not None:
        raise SettingsError(f"The name of {named[0][1]} is given twice: leave out --service or {named[0][0]}=.")
    names = [name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"Two models are called {twice}: each needs a name of its own, for its service.")
    for name in names:
        _check_model_name(name)
    return named


def _check_model_name(name: str) -> None:
    try:
        service_name(name)
    except SettingsError as error:
        raise SettingsError(
            f"--model NAME=PATH: {error} A path that contains = is written as an absolute one."
        ) from None


def refuse_for_several(own: Sequence[object], *, port: int, count: int) -> None:
    """Raise SettingsError where flags that describe one model (`own`, None if not given) come with several models.

    Several models state such things in their `model.toml`. SettingsError, too, if there are too few ports after `port`.
    """
    if any(value is not None for value in own):
        raise SettingsError(
            "With several models, --graph, --labels and the flags about layers and pixels cannot tell which is "
            "meant: write model.toml and labels.txt into each model's folder."
        )
    if port and port + count - 1 > _HIGHEST_PORT:
        raise SettingsError(f"--port {port} leaves no ports for {count} models: choose a lower one, or 0.")


def source_of(*, model: Path | None, pixels: Pixels, **flags: Any) -> ModelSource:
    """The flags about one model as its `ModelSource`. Raises BadParameter for one that cannot be read."""
    from worker.artifacts.preprocess_config import Preprocess
    from worker.artifacts.source import ModelSource

    preprocess = Preprocess(
        size=_size(pixels.size) if pixels.size else None,
        resize=cast("ResizeWord | None", pixels.resize),
        channels=cast("ChannelsWord | None", pixels.channels),
        mean=_numbers(pixels.mean, "--mean") if pixels.mean else None,
        std=_numbers(pixels.std, "--std") if pixels.std else None,
        layout=cast("Order | None", pixels.layout),
        outputs=cast("OutputsWord | None", pixels.outputs),
    )
    return ModelSource(path=model, preprocess=preprocess, cache=cache_folder(), **flags)


def _size(text: str) -> tuple[int, int]:
    height, cross, width = text.lower().partition("x")
    if not (height.isdigit() and (width.isdigit() or not cross)):
        raise typer.BadParameter(f"{text!r} is no size: write 224x224, height first.", param_hint="--size")
    return int(height), int(width or height)


def _numbers(text: str, flag: str) -> tuple[float, ...]:
    try:
        return tuple(float(n) for n in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: write one number, or three with commas.", param_hint=flag) from None


def cache_folder() -> Path:
    """The folder of this user for what is made once and used again: exports, conversions, choices of engines."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "p2p-serving"
