"""What the flags and `model.toml` say about a model -> which files to load, and how images are to be prepared.

`ModelSource` carries the flags; `locate` turns it into a `Place` on disk; `Preprocess` says how pixels become
the model's input, each part left open (None) where the model itself, or its kind, knows better.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from worker.artifacts.formats import WANTED, caffe_pair, model_in
from worker.errors import ModelError
from worker.images.decode import Filter, Resize

Channels = Literal["rgb", "bgr"]
Order = Literal["nhwc", "nchw"]
Outputs = Literal["probabilities", "logits"]
Precision = Literal["f32", "bf16"]

DEFAULT_MAX_PIXELS = 50_000_000
"""150 MB of RGB: what phones take today is decoded, what would fill the memory is not."""


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How an image becomes a model's input; None leaves a part to the model or its kind.

    size:     height and width in pixels
    resize:   "crop" (centre crop of 0.875 of the shorter side) or "stretch"
    filter:   "bicubic" or "bilinear"
    channels: "rgb" or "bgr"
    mean, std: input = (pixel - mean) / std with pixel in 0..255; one number, or one a channel in the
        model's order. As retrain.py's and label_image.py's --input_mean and --input_std.
    layout:   "nhwc" or "nchw": whether the channels are the last dimension, or stand before height and width
    outputs:  "probabilities", or "logits" where a softmax is still to come
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
        """Refuse what cannot be meant, with ModelError."""
        _one_of("resize", self.resize, get_args(Resize))
        _one_of("filter", self.filter, get_args(Filter))
        _one_of("channels", self.channels, get_args(Channels))
        _one_of("layout", self.layout, get_args(Order))
        _one_of("outputs", self.outputs, get_args(Outputs))
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ModelError(f"An input size is a height and a width, not {self.size}.")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if numbers is not None and len(numbers) not in (1, 3):
                raise ModelError(f"--{name} takes one number, or three, one a channel, not {len(numbers)}.")
        if self.std is not None and 0 in self.std:
            raise ModelError("--std must not be 0: pixels are divided by it.")

    def over(self, other: Preprocess) -> Preprocess:
        """This where it says something, `other` where it does not."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(other, **said)


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """All that the flags may say about one model.

    path:   a model's folder or file, or a folder of numbered versions (see `artifacts.formats`); None for the default
    graph:  instead of `path`, a frozen graph as the article's retrain.py writes it
    labels: one name a line; None looks for labels.txt beside the model
    input_layer, output_layer: names in a graph, or of a signature's input and output; None finds them
    engine: "auto", or one engine's name
    precision: "f32", or "bf16" for numbers of 16 bits inside, where engine and processor have them
    device: "auto" (a GPU if the engine sees one), "cpu", "gpu" or "gpu:N"
    gpu_memory_growth: take a GPU's memory as it is needed, not all at once
    cache:  where what is made once a user is kept (the default model's export, choices of engines, conversions)
    max_pixels: the largest image that is decoded, width x height
    """

    path: Path | None = None
    graph: Path | None = None
    labels: Path | None = None
    input_layer: str | None = None
    output_layer: str | None = None
    engine: str = "auto"
    precision: Precision = "f32"
    device: str = "auto"
    gpu_memory_growth: bool = False
    preprocess: Preprocess = field(default_factory=Preprocess)
    cache: Path = field(default_factory=lambda: Path.home() / ".cache" / "p2p-serving")
    max_pixels: int = DEFAULT_MAX_PIXELS

    def __post_init__(self) -> None:
        """Refuse a precision that there is not, with ModelError."""
        _one_of("--precision", self.precision, get_args(Precision))


@dataclass(frozen=True)
class Place:
    """A model on disk: its folder or file, its version, and its labels' file if there is one."""

    path: Path
    version: str
    labels: Path | None


def locate(path: Path, *, labels: Path | None = None) -> Place:
    """Find the model that `path` means; of a folder of numbered versions, the highest that is complete.

    A version is the number that the model's folder is named by, else "1". Labels are those given, else
    labels.txt inside the model's folder, else beside it. Raises ModelError if there is no model there.
    """
    if not path.exists():
        raise ModelError(f"There is no model at {path}: check --model or --graph.")
    folder = _newest(path)
    if labels is None:
        around = ([folder] if folder.is_dir() else []) + [folder.parent]
        labels = next((f / "labels.txt" for f in around if (f / "labels.txt").is_file()), None)
    numbered = folder if folder.is_dir() else folder.parent
    return Place(folder, numbered.name if numbered.name.isdigit() else "1", labels)


def read_preprocess(model: Path) -> Preprocess:
    """What the [preprocess] table of `model.toml` says, in the model's folder; nothing if there is none.

    Its keys are those of `Preprocess`. Raises ModelError if the file cannot be understood.
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


def _one_of(name: str, value: str | None, words: tuple[str, ...]) -> None:
    if value is not None and value not in words:
        raise ModelError(f"{name} is {' or '.join(words)}, not {value!r}.")


def _newest(path: Path) -> Path:
    """The model in `path`: itself, the one file of a model that it holds, or its highest complete version."""
    if not path.is_dir():
        return caffe_pair(path)[1] if path.suffix == ".prototxt" else path
    whole = model_in(path)
    if whole is not None:
        return whole
    numbers = sorted((d for d in path.iterdir() if d.is_dir() and d.name.isdigit()), key=lambda d: -int(d.name))
    versions = [model for model in map(model_in, numbers) if model is not None]
    if not versions:
        raise ModelError(
            f"{path} holds no model, or several: it needs a saved_model.pb, one model file, "
            f"or numbered folders (1, 2, ...) that do; a model is {WANTED}."
        )
    return versions[0]
