"""The configuration of a Keras model -> a layer in it that can run code, in words, or None. Pure.

Keras rebuilds a model from classes and functions that its configuration names. A Lambda layer contains Python's byte
code; other layers load a further model, or a vocabulary from any file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_RUNS_CODE = frozenset({"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})
_LAYERS = r"(src\.)?(engine|models|layers|activations|initializers|regularizers|constraints|losses|metrics|optimizers)"
_MODULES = re.compile(
    rf"builtins|keras|keras\.({_LAYERS}|(src\.)?(ops|random|dtype_policies|quantizers))(\.\w+)*"
    r"|keras_(hub|cv|nlp)(\.\w+)*"
)
_OF_ROOT = re.compile(r"[A-Z]\w*")
"""In keras and keras.models a model names classes, not functions such as load_model."""


def unsafe_in_config(config: Any, layer: str = "") -> str | None:
    """The first part of a configuration, as JSON gives it, that can run code or reads a file."""
    if isinstance(config, list):
        return next((found for each in config if (found := unsafe_in_config(each, layer))), None)
    if not isinstance(config, dict):
        return None
    inner = config.get("config")
    if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
        layer = inner["name"]
    found = _unsafe_object(config)
    if found:
        return f"the layer {layer} ({found})" if layer else found
    return next((found for each in config.values() if (found := unsafe_in_config(each, layer))), None)


def _unsafe_object(config: Mapping[str, Any]) -> str | None:
    name, module = config.get("class_name"), config.get("module")
    for word in (name, config.get("registered_name")):
        if isinstance(word, str) and word.rpartition(">")[2] in _RUNS_CODE:
            return f"a {word.strip('_')}, which can contain code"
    vocabulary = config.get("vocabulary")
    if isinstance(vocabulary, str):
        return f"its vocabulary is the file {vocabulary}"
    if name is None or not isinstance(module, str):
        return None
    if not _MODULES.fullmatch(module):
        return f"{module}.{name}, which is no part of a model of Keras"
    if name == "function":
        names = [each for each in (config.get("config"), config.get("registered_name")) if isinstance(each, str)]
        return f"the function {module}.{names[0]}" if module in ("keras", "keras.models") and names else None
    if module in ("keras", "keras.models") and not _OF_ROOT.fullmatch(str(name)):
        return f"the function {module}.{name}"
    return None
