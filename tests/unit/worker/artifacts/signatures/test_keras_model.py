"""Which inputs and outputs a Keras model has, by its configuration alone."""

from __future__ import annotations

from typing import Any

import pytest

from worker.artifacts.damaged import Damaged
from worker.artifacts.signatures.keras_model import entries_of
from worker.artifacts.signatures.tensor_shapes import Entry


def layer(name: str, kind: str = "InputLayer", **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "name": name, "config": {"name": name, **config}}


def functional(inputs: Any, outputs: Any, *layers: dict[str, Any]) -> dict[str, Any]:
    return {
        "class_name": "Functional",
        "config": {"layers": [*layers], "input_layers": inputs, "output_layers": outputs},
    }


X, Y = layer("x", batch_shape=[None, 3]), layer("y", batch_input_shape=[None, 8, 8, 3])


@pytest.mark.parametrize("inputs", [[["x", 0, 0], ["y", 0, 0]], {"x": ["x", 0, 0], "other": ["y", 0, 0]}])
def test_a_functional_model_lists_its_inputs(inputs: Any) -> None:
    """As a list or a dict, in the words of Keras 2 and 3; a single one stands without a list."""
    assert entries_of(functional(inputs, ["d", 0, 0], X, Y, layer("d", "Dense"))) == (
        [Entry("x", 2), Entry("y", 4)],
        [Entry("d", None)],
    )


def test_a_sequential_model_has_the_shape_of_its_first_layer() -> None:
    """Or the one with which it was built."""
    first, last = layer("x", batch_shape=[None, 3]), layer("d", "Dense")
    sequential: dict[str, Any] = {"class_name": "Sequential", "config": {"name": "s", "layers": [first, last]}}
    assert entries_of(sequential) == ([Entry("x", 2)], [Entry("d", None)])
    sequential["config"] = {"name": "s", "layers": [layer("inner", "Functional"), last], "build_input_shape": [None, 5]}
    assert entries_of(sequential) == ([Entry("inner", 2)], [Entry("d", None)])


def test_texts_are_image_files_only_where_the_model_has_code() -> None:
    """No layer of Keras decodes images; a Lambda layer may."""
    text = layer("t", batch_shape=[None], dtype="string")
    one = functional(["t", 0, 0], ["d", 0, 0], text, layer("d", "Dense"))
    assert entries_of(one)[0] == [Entry("t", 1)]
    one["config"]["layers"][1] = layer("d", "Lambda")
    assert entries_of(one)[0] == [Entry("t", 1, encoded=True)]


@pytest.mark.parametrize(
    "config",
    [None, [], {}, {"config": {"input_layers": []}}, functional(["z", 0, 0], [], X), {"config": {"layers": []}}],
)
def test_another_configuration_is_damaged(config: Any) -> None:
    """Whatever JSON can hold, the error is the same."""
    with pytest.raises(Damaged):
        entries_of(config)


def test_a_model_that_only_its_code_describes_has_none() -> None:
    """What a class of one's own takes is not in its configuration."""
    assert entries_of({"class_name": "Net", "config": {"layers": [layer("d", "Dense")]}}) == ([], [])
