"""uint8 images [height, width, 3] -> what one model's input wants: order of dimensions, channels, scale, type.

`layout_of` reads the shape of the model's input, `plan` adds what the user and the model say about it, both in
plain values. `feed` does it in numpy, for engines that have no better way: a tenth of a millisecond an image
of 224 x 224 (copying alone takes a fourth of that), where a prediction takes seven.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from worker.artifacts.source import Channels, Order, Preprocess
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
UNIT: Scaling = ((0.0,), (255.0,))
SLIM: Scaling = ((127.5,), (127.5,))
"""Pixels of -1..1: TensorFlow's slim models, MobileNet and Inception, and what was made of them for TFLite."""
IMAGENET: Scaling = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""Mean and standard deviation of ImageNet's pixels in RGB, as torchvision and the ONNX model zoo prepare them."""
CAFFE: Scaling = ((104.0, 117.0, 123.0), (1.0,))
"""Less ImageNet's mean in BGR, as the models of BVLC's and VGG's model zoo were trained."""


@dataclass(frozen=True)
class Layout:
    """The dimensions of a model's input, told apart.

    size:   height and width; None for any
    batch:  how many images a call; None for any
    order:  whether channels come last or before height and width
    single: one image without a first dimension: [height, width, channels]
    grey:   brightness only; flat: even without a dimension for it, [n, height, width]
    """

    size: tuple[int, int] | None
    batch: int | None
    order: Order = "nhwc"
    single: bool = False
    grey: bool = False
    flat: bool = False


@dataclass(frozen=True)
class Plan:
    """How images become one model's input: input = (pixel - mean) / std, of that size, in that layout."""

    layout: Layout
    size: tuple[int, int] | None
    channels: Channels
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def untouched(self) -> bool:
        """Whether pixels go in as they are, 0..255."""
        return (set(self.mean), set(self.std)) == ({0.0}, {1.0})

    @property
    def pixels(self) -> str:
        """The same in words, for the log and for /readyz."""
        order = "grey" if self.layout.grey else self.channels
        scale = "0..255" if self.untouched else f"(pixel - {_words(self.mean)}) / {_words(self.std)}"
        return f"{scale}, {order}" + (", nchw" if self.layout.order == "nchw" else "")


def layout_of(shape: Sequence[int | None], *, usual: Order = "nhwc", said: Order | None = None) -> Layout:
    """Tell the dimensions of a model's input apart; None stands for any length.

    A dimension of 1 or 3 is the channels'; where that leaves both orders, `said` decides, else `usual`.
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
    order: Order = said or ("nchw" if plain == "nchw" else "nhwc")
    channels = first if order == "nchw" else last
    if channels not in (1, 3, None):
        raise _no_image(dims)
    size = _known(dims[-2:] if order == "nchw" else dims[-3:-1])
    return Layout(size, 1 if single else dims[0], order, single=single, grey=channels == 1)


def usual_scaling(layout: Layout) -> Scaling:
    """What a float model was most likely trained on: PyTorch's come with channels first and ImageNet's numbers."""
    return IMAGENET if layout.order == "nchw" and not layout.grey else UNIT


def scaling_of(said: Preprocess, *, own: Scaling | None, usual: Scaling, whole: bool) -> Scaling:
    """Mean and std for the pixels where `said` has none, with a line in the log on where they come from.

    own:   what the model shows, by scaling pixels itself or by its metadata; None if it shows nothing
    usual: what such models are mostly trained on
    whole: whether the input takes whole numbers, which are pixels as they are
    """
    if whole:
        return UNTOUCHED
    mean, std = own or usual
    why = "as the model shows" if own else "the usual, as the model does not show it"
    if said.mean or said.std:
        why = "as was said"
    _log.info(
        "Pixels go in as (pixel - %s) / %s, %s; --mean and --std change it.",
        _words(said.mean or mean),
        _words(said.std or std),
        why,
    )
    return mean, std


def plan(layout: Layout, said: Preprocess, *, scaling: Scaling, channels: Channels = "rgb") -> Plan:
    """Decide; `scaling` and `channels` are used where `said` has none. ModelError if `said` contradicts the model."""
    mean, std = said.mean or scaling[0], said.std or scaling[1]
    if layout.grey and (len(mean) > 1 or len(std) > 1):
        raise ModelError("The model sees brightness only: --mean and --std take one number each.")
    if layout.size and said.size and layout.size != said.size:
        fixed, asked = (f"{height} x {width}" for height, width in (layout.size, said.size))
        raise ModelError(f"The model takes images of {fixed} pixels, so --size cannot be {asked}.")
    return Plan(layout, layout.size or said.size, said.channels or channels, mean, std)


def spec_of(plan: Plan, said: Preprocess) -> InputSpec:
    """What an engine with this plan eats."""
    size = ImageSize(*plan.size, said.resize or "stretch", said.filter or "bilinear") if plan.size else None
    settled = replace(
        said, size=plan.size, channels=plan.channels, mean=plan.mean, std=plan.std, layout=plan.layout.order
    )
    # Images of any size cannot be stacked, so they go in one by one.
    return InputSpec(size, plan.layout.batch if size else 1, plan.pixels, settled)


def feed(plan: Plan, dtype: DTypeLike) -> Callable[[Images], NDArray[Any]]:
    """The function that does what `plan` says: n images of one size -> an array of `dtype`, contiguous."""
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
    """One array [n, height, width, 3]; a copy only where there are several and they do not lie together yet."""
    if isinstance(images, np.ndarray):
        return images
    return images[0][np.newaxis] if len(images) == 1 else np.stack(images)


def _ordered(stack: NDArray[Any], plan: Plan) -> NDArray[Any]:
    """Images [n, height, width, 3] with the model's channels, in its order of dimensions; mostly only a view."""
    if plan.layout.grey:
        stack = (stack @ np.array(LUMINANCE, np.float32))[..., np.newaxis]
    elif plan.channels == "bgr":
        stack = stack[..., ::-1]
    return stack.transpose(0, 3, 1, 2) if plan.layout.order == "nchw" else stack


def _bare(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Without the dimensions that this model does not have."""
    values = values[..., 0] if layout.flat else values
    return values[0] if layout.single else values


def _a_channel(numbers: Sequence[float], plan: Plan) -> NDArray[np.float32]:
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
