"""The flags that say what a model is, shared by the commands that load one, and what they mean together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import typer

if TYPE_CHECKING:
    from worker.artifacts.source import Channels as ChannelsWord
    from worker.artifacts.source import ModelSource, Order
    from worker.artifacts.source import Outputs as OutputsWord
    from worker.images.decode import Resize as ResizeWord

ModelPath = Annotated[
    Path | None,
    typer.Option(
        "--model",
        envvar="P2P_MODEL",
        metavar="PATH",
        help="SavedModel folder, folder of numbered versions, or a file: .keras, .h5, .onnx, .tflite, .pt, .pt2, "
        ".caffemodel, .xml or .pb.  [default: the ImageNet model EfficientNet-Lite0]",
    ),
]
Graph = Annotated[
    Path | None,
    typer.Option("--graph", envvar="P2P_GRAPH", help="Frozen graph instead of --model, as retrain.py writes it."),
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", envvar="P2P_LABELS", help="One name a line.  [default: labels.txt beside the model]"),
]
InputLayer = Annotated[
    str | None,
    typer.Option(
        "--input-layer",
        "--input_layer",
        envvar="P2P_INPUT_LAYER",
        help="The graph's input, such as DecodeJpeg/contents:0.",
    ),
]
OutputLayer = Annotated[
    str | None,
    typer.Option(
        "--output-layer",
        "--output_layer",
        envvar="P2P_OUTPUT_LAYER",
        help="The graph's output, such as final_result:0.",
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        envvar="P2P_ENGINE",
        metavar="auto|NAME",
        help="What runs the model: tensorflow, onnx, openvino, torch, opencv, echo; auto compares those installed.",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        envvar="P2P_PRECISION",
        metavar="f32|bf16",
        help="Numbers to compute in; bf16 is quicker where the processor has it, and less exact.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", envvar="P2P_DEVICE", metavar="auto|cpu|gpu[:N]", help="Where the model runs.")
]
GpuMemoryGrowth = Annotated[
    bool,
    typer.Option("--gpu-memory-growth", envvar="P2P_GPU_MEMORY_GROWTH", help="Take a GPU's memory as it is needed."),
]
Layout = Annotated[
    str | None,
    typer.Option(
        "--layout",
        envvar="P2P_LAYOUT",
        metavar="nhwc|nchw",
        help="Order of the input's dimensions.  [default: the model's]",
    ),
]
Outputs = Annotated[
    str | None,
    typer.Option(
        "--outputs",
        envvar="P2P_OUTPUTS",
        metavar="logits|probabilities",
        help="What the model gives; logits get a softmax.  [default: found out]",
    ),
]
Size = Annotated[
    str | None,
    typer.Option("--size", envvar="P2P_SIZE", metavar="HxW", help="Input size.  [default: the model's]"),
]
Resize = Annotated[
    str | None,
    typer.Option("--resize", envvar="P2P_RESIZE", metavar="crop|stretch", help="How an image gets its size."),
]
Channels = Annotated[
    str | None,
    typer.Option("--channels", envvar="P2P_CHANNELS", metavar="rgb|bgr", help="The order the model was trained on."),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean",
        "--input-mean",
        "--input_mean",
        envvar="P2P_MEAN",
        metavar="N[,N,N]",
        help="Input = (pixel - mean) / std.",
    ),
]
Std = Annotated[
    str | None,
    typer.Option("--std", "--input-std", "--input_std", envvar="P2P_STD", metavar="N[,N,N]", help="See --mean."),
]
MaxPixels = Annotated[int, typer.Option(envvar="P2P_MAX_PIXELS", min=1, help="Largest image decoded, width x height.")]
Top = Annotated[
    int,
    typer.Option(
        "--num-top-predictions",
        "--num_top_predictions",
        "--top",
        envvar="P2P_NUM_TOP_PREDICTIONS",
        min=1,
        help="Labels an answer holds unless it asks with ?top=.",
    ),
]


class Pixels(NamedTuple):
    """The flags about pixels, as they were typed."""

    size: str | None
    resize: str | None
    channels: str | None
    mean: str | None
    std: str | None
    layout: str | None = None
    outputs: str | None = None


def source_of(*, model: Path | None, pixels: Pixels, **flags: Any) -> ModelSource:
    """What the flags that say something about the model mean together."""
    from worker.artifacts.source import ModelSource, Preprocess

    preprocess = Preprocess(
        size=_size(pixels.size) if pixels.size else None,
        resize=cast("ResizeWord | None", pixels.resize),
        channels=cast("ChannelsWord | None", pixels.channels),
        mean=_numbers(pixels.mean, "--mean") if pixels.mean else None,
        std=_numbers(pixels.std, "--std") if pixels.std else None,
        layout=cast("Order | None", pixels.layout),
        outputs=cast("OutputsWord | None", pixels.outputs),
    )
    return ModelSource(path=model, preprocess=preprocess, cache=_cache(), **flags)


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


def _cache() -> Path:
    """Where what is made once a user is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "p2p-serving"
