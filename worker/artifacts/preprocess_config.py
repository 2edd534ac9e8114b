"""How pixels become a model's input: the values of the flags and of `model.toml` in the model's folder."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from worker.errors import ModelError
from worker.images.decode import Filter, Resize

Channels = Literal["rgb", "bgr"]
Order = Literal["nhwc", "nchw"]
Outputs = Literal["probabilities", "logits"]


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How an image becomes a model's input; None leaves a value to the model or its format.

    size:     height and width in pixels
    resize:   "crop" (centre crop of 0.875 of the shorter side) or "stretch"
    filter:   "bicubic" or "bilinear"
    channels: "rgb" or "bgr"
    mean, std: input = (pixel - mean) / std with pixel in 0..255; one number, or one a channel in the
        model's order. As retrain.py's and label_image.py's --input_mean and --input_std.
    layout:   "nhwc" or "nchw": whether the channels are the last dimension, or stand before height and width
    outputs:  "probabilities", or "logits" if a softmax must be applied
    """

    size: tuple[int, int] | None = None
    resize: Resize | None = None
    filter: Filter | None = None
    channels: Channels | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: Order | None = None
    outputs: Outputs | None = None

    def __post_init__(self) -> None:
        """Raise ModelError for values that are invalid."""
        check_one_of("resize", self.resize, get_args(Resize))
        check_one_of("filter", self.filter, get_args(Filter))
        check_one_of("channels", self.channels, get_args(Channels))
        check_one_of("layout", self.layout, get_args(Order))
        check_one_of("outputs", self.outputs, get_args(Outputs))
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ModelError(f"An input size is a height and a width, not {self.size}.")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if numbers is not None and len(numbers) not in (1, 3):
                raise ModelError(f"--{name} takes one number, or three, one a channel, not {len(numbers)}.")
        if self.std is not None and 0 in self.std:
            raise ModelError("--std must not be 0: pixels are divided by it.")

    def over(self, other: Preprocess) -> Preprocess:
        """These values where they are set, those of `other` where they are None."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(other, **given)


def read_preprocess(model: Path) -> Preprocess:
    """The [preprocess] table of `model.toml` in the model's folder; all values None if there is no such file.

    Its keys are those of `Preprocess`. Raises ModelError if the file is invalid.
    """
    file = (model if model.is_dir() else model.parent) / "model.toml"
    try:
        table = tomllib.loads(file.read_text("utf-8")).get("preprocess", {}) if file.is_file() else {}
        return _preprocess(table)
    except (OSError, ValueError, TypeError, ModelError) as error:
        raise ModelError(f"{file} cannot be used: {error}") from error


def write_preprocess(folder: Path, preprocess: Preprocess) -> None:
    """Write `model.toml` into a model's folder, for `read_preprocess`."""
    lines = ["# How an image becomes this model's input; flags of `p2p worker` go before it.", "[preprocess]"]
    for item in fields(preprocess):
        value = getattr(preprocess, item.name)
        if value is not None:
            lines.append(f"{item.name} = {list(value) if isinstance(value, tuple) else _quoted(value)}")
    (folder / "model.toml").write_text("\n".join(lines) + "\n", "utf-8")


def _quoted(word: str) -> str:
    return f'"{word}"'


def _preprocess(table: Mapping[str, Any]) -> Preprocess:
    known = [f.name for f in fields(Preprocess)]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ModelError(f"it knows no {unknown[0]!r}; the keys are {', '.join(known)}.")
    size = tuple(int(n) for n in table["size"]) if "size" in table else None
    return Preprocess(**{**table, "size": size, "mean": _numbers(table, "mean"), "std": _numbers(table, "std")})


def _numbers(table: Mapping[str, Any], key: str) -> tuple[float, ...] | None:
    value = table.get(key)
    if value is None:
        return None
    return tuple(float(n) for n in value) if isinstance(value, list) else (float(value),)


def check_one_of(name: str, value: str | None, words: tuple[str, ...]) -> None:
    """Raise ModelError, with the allowed `words`, if `value` is set and none of them."""
    if value is not None and value not in words:
        raise ModelError(f"{name} is {' or '.join(words)}, not {value!r}.")
