"""The configuration of a Keras model, as JSON gives it -> its inputs and outputs. Pure."""

from __future__ import annotations

from typing import Any

from worker.artifacts.damaged import Damaged
from worker.artifacts.safety.keras_config import unsafe_in_config
from worker.artifacts.signatures.tensor_shapes import Entry


def entries_of(config: Any) -> tuple[list[Entry], list[Entry]]:
    """Inputs and outputs of a functional or sequential model; none of a model that only its code describes.

    Texts that go into a model are image files only where it has code of its own: no layer of Keras decodes images.
    Raises Damaged.
    """
    decodes = unsafe_in_config(config) is not None
    try:
        network = config["config"]
        if "input_layers" in network:
            layers = {layer.get("name", layer["config"].get("name")): layer["config"] for layer in network["layers"]}
            inputs = [_entry(name, layers[name], decodes) for name in _names(network["input_layers"])]
            return inputs, [Entry(name, None) for name in _names(network["output_layers"])]
        if "build_input_shape" in network or network["layers"][0]["class_name"] == "InputLayer":
            first, last = network["layers"][0]["config"], network["layers"][-1]["config"]
            return [_entry(first["name"], {**network, **first}, decodes)], [Entry(last["name"], None)]
    except (LookupError, TypeError, AttributeError) as error:
        raise Damaged(f"no configuration of a model: {error!r}") from error
    return [], []


def _names(tensors: Any) -> list[str]:
    """The layers of a structure of tensors: each is a list of a layer's name and two numbers."""
    if isinstance(tensors, dict):
        return [name for each in tensors.values() for name in _names(each)]
    if isinstance(tensors[0], str):
        return [tensors[0]]
    return [name for each in tensors for name in _names(each)]


def _entry(name: str, layer: Any, decodes: bool) -> Entry:
    """An input layer; Keras 2 calls its shape `batch_input_shape`."""
    shapes = (layer.get(key) for key in ("batch_shape", "batch_input_shape", "build_input_shape"))
    shape = next((shape for shape in shapes if isinstance(shape, list)), None)
    return Entry(name, None if shape is None else len(shape), encoded=decodes and layer.get("dtype") == "string")
