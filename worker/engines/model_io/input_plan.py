"""How uint8 images [height, width, 3] become one model's input: order of dimensions, channels, scale, type.

`layout_of` reads the shape of the model's input, `plan` adds the user's and the model's own settings, both as plain
values. `feed` executes the plan in numpy, for engines that have no better way: a tenth of a millisecond for an image of
224 x 224 (copying alone takes a fourth of that), where a prediction takes seven.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from worker.artifacts.preprocess_config import Channels, Order, Preprocess
from worker.engines.base import InputSpec
from worker.errors import ModelError
from worker.images.decode import ImageSize

_log = logging.getLogger(__name__)

LUMINANCE = (0.2989, 0.587, 0.114)
"""Of red, green and blue: ITU-R BT.601, as TensorFlow's and OpenCV's conversions to grey."""

Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
"""n images of one size, each [height, width, 3]: one by one, or together as [n, height, width, 3]."""
Scaling = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and std: input = (pixel - mean) / std; one number each, or one a channel."""

UNTOUCHED: Scaling = ((0.0,), (1.0,))
SIGNED: Scaling = ((128.0,), (1.0,))
"""Pixels minus 128, as signed numbers of 8 bits hold them."""
UNIT: Scaling = ((0.0,), (255.0,))
SLIM: Scaling = ((127.5,), (127.5,))
"""Pixels of -1..1: TensorFlow's slim models, MobileNet and Inception, and their conversions to TFLite."""
IMAGENET: Scaling = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""Mean and standard deviation of ImageNet's pixels in RGB, as torchvision and the ONNX model zoo prepare them."""
CAFFE: Scaling = ((104.0, 117.0, 123.0), (1.0,))
"""ImageNet's mean in BGR subtracted, as the models of BVLC's and VGG's model zoo were trained."""


@dataclass(frozen=True)
class Layout:
    """The meaning of the dimensions of a model's input.

    size:   height and width; None for any
    batch:  how many images a call; None for any
    order:  whether channels come last or before height and width
    single: one image without a first dimension: [height, width, channels]
    grey:   one channel, brightness; flat: without a dimension for the channel, [n, height, width]
    """

    size: tuple[int, int] | None
    batch: int | None
    order: Order = "nhwc"
    single: bool = False
    grey: bool = False
    flat: bool = False


@dataclass(frozen=True)
class InputPlan:
    """How images become one model's input: input = (pixel - mean) / std, in this size and layout."""

    layout: Layout
    size: tuple[int, int] | None
    channels: Channels
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def untouched(self) -> bool:
        """Whether pixels are not scaled: 0..255."""
        return (set(self.mean), set(self.std)) == ({0.0}, {1.0})

    @property
    def pixels(self) -> str:
        """The plan in words, for the log and for /readyz."""
        order = "grey" if self.layout.grey else self.channels
        scale = "0..255" if self.untouched else f"(pixel - {_words(self.mean)}) / {_words(self.std)}"
        return f"{scale}, {order}" + (", nchw" if self.layout.order == "nchw" else "")


def layout_of(shape: Sequence[int | None], *, usual: Order = "nhwc", requested: Order | None = None) -> Layout:
    """Interpret the shape of a model's input; None stands for any length.

    A dimension of 1 or 3 is that of the channels; where both orders are possible, `requested` decides, else `usual`.
    Raises ModelError for an input that is no image.
    """
    dims = list(shape)
    if len(dims) == 3 and dims[2] not in (1, 3) and dims[0] != 3:
        return Layout(_known(dims[1:]), dims[0], grey=True, flat=True)
    if len(dims) not in (3, 4):
        raise _no_image(dims)
    single = len(dims) == 3
    first, last = dims[-3], dims[-1]
    plain = {(True, False): "nchw", (False, True): "nhwc"}.get((first in (1, 3), last in (1, 3)), usual)
    order: Order = requested or ("nchw" if plain == "nchw" else "nhwc")
    channels = first if order == "nchw" else last
    if channels not in (1, 3, None):
        raise _no_image(dims)
    size = _known(dims[-2:] if order == "nchw" else dims[-3:-1])
    return Layout(size, 1 if single else dims[0], order, single=single, grey=channels == 1)


def usual_scaling(layout: Layout) -> Scaling:
    """The most likely scaling of a float model: channels first means PyTorch, and so ImageNet's numbers."""
    return IMAGENET if layout.order == "nchw" and not layout.grey else UNIT


def scaling_of(requested: Preprocess, *, own: Scaling | None, usual: Scaling, whole: bool) -> Scaling:
    """Mean and std for the pixels where `requested` has none, and a log line that says where they come from.

    own:   what the model shows, by scaling pixels itself, its metadata or its quantization; None if it shows nothing
    usual: what most models of this format are trained with
    whole: whether the input takes whole numbers, which are pixels unless `own` says otherwise
    """
    if whole:
        return own or UNTOUCHED
    mean, std = own or usual
    why = "as the model shows" if own else "the usual, as the model does not show it"
    if requested.mean or requested.std:
        why = "as was said"
    _log.info(
        "Pixels go in as (pixel - %s) / %s, %s; --mean and --std change it.",
        _words(requested.mean or mean),
        _words(requested.std or std),
        why,
    )
    return mean, std


def plan(layout: Layout, requested: Preprocess, *, scaling: Scaling, channels: Channels = "rgb") -> InputPlan:
    """Make the plan; `scaling` and `channels` count where `requested` has none. ModelError for a contradiction."""
    mean, std = requested.mean or scaling[0], requested.std or scaling[1]
    if layout.grey and (len(mean) > 1 or len(std) > 1):
        raise ModelError("The model sees brightness only: --mean and --std take one number each.")
    if layout.size and requested.size and layout.size != requested.size:
        fixed, asked = (f"{height} x {width}" for height, width in (layout.size, requested.size))
        raise ModelError(f"The model takes images of {fixed} pixels, so --size cannot be {asked}.")
    return InputPlan(layout, layout.size or requested.size, requested.channels or channels, mean, std)


def spec_of(plan: InputPlan, requested: Preprocess) -> InputSpec:
    """The input of an engine with this plan."""
    size = ImageSize(*plan.size, requested.resize or "stretch", requested.filter or "bilinear") if plan.size else None
    complete = replace(
        requested, size=plan.size, channels=plan.channels, mean=plan.mean, std=plan.std, layout=plan.layout.order
    )
    # Images of any size cannot be stacked, so they go in one by one.
    return InputSpec(size, plan.layout.batch if size else 1, plan.pixels, complete)


def feed(plan: InputPlan, dtype: DTypeLike) -> Callable[[Images], NDArray[Any]]:
    """A function that executes `plan`: n images of one size -> a contiguous array of `dtype`."""
    scale = _a_channel([1 / number for number in plan.std], plan)
    shift = _a_channel([-mean / std for mean, std in zip(*_as_long(plan.mean, plan.std), strict=True)], plan)

    def fill(images: Images) -> NDArray[Any]:
        stack = _ordered(stacked(images), plan)
        if plan.untouched:
            return np.ascontiguousarray(stack, dtype)
        values = np.empty(stack.shape, np.float32)
        np.multiply(stack, scale, out=values)
        np.add(values, shift, out=values)
        return values.astype(dtype, copy=False)

    return lambda images: _bare(fill(images), plan.layout)


def stacked(images: Images) -> NDArray[np.uint8]:
    """One array [n, height, width, 3]; a copy only if there are several images that do not lie together yet."""
    if isinstance(images, np.ndarray):
        return images
    return images[0][np.newaxis] if len(images) == 1 else np.stack(images)


def _ordered(stack: NDArray[Any], plan: InputPlan) -> NDArray[Any]:
    """Images [n, height, width, 3] with the model's channels, in its order of dimensions; mostly a view."""
    if plan.layout.grey:
        stack = (stack @ np.array(LUMINANCE, np.float32))[..., np.newaxis]
    elif plan.channels == "bgr":
        stack = stack[..., ::-1]
    return stack.transpose(0, 3, 1, 2) if plan.layout.order == "nchw" else stack


def _bare(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Remove the dimensions that this model does not have."""
    values = values[..., 0] if layout.flat else values
    return values[0] if layout.single else values


def _a_channel(numbers: Sequence[float], plan: InputPlan) -> NDArray[np.float32]:
    shape = (-1, 1, 1) if plan.layout.order == "nchw" else (-1,)
    return np.array(numbers, np.float32).reshape(shape)


def _as_long(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    length = max(len(one), len(other))
    return (one * length)[:length] if len(one) == 1 else one, (other * length)[:length] if len(other) == 1 else other


def _known(edges: Sequence[int | None]) -> tuple[int, int] | None:
    height, width = edges
    return (height, width) if height and width else None


def _no_image(shape: Sequence[int | None]) -> ModelError:
    return ModelError(
        f"The model's input has the shape {list(shape)}; only [n, height, width, 3], [n, 3, height, width], "
        "and the same with one channel, can be fed."
    )


def _words(numbers: tuple[float, ...]) -> str:
    words = [f"{number:g}" for number in numbers]
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"
