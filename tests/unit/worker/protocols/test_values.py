"""What the standard protocols are made of: base64, decimals, pixels, and documents read by their dataclass."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.support.small_models import brightness
from worker.errors import BadRequest, ModelError, TooLarge
from worker.protocols.base64_text import decode_base64
from worker.protocols.common import of_one_kind
from worker.protocols.pixel_tensors import fitting, whole_pixels
from worker.protocols.tfserving.codec import decimals
from worker.web.json_schema import read, schema


@given(st.binary(max_size=300), st.booleans(), st.booleans(), st.integers(1, 80))
def test_both_alphabets_with_or_without_padding_and_line_breaks(
    data: bytes, web_safe: bool, padded: bool, width: int
) -> None:
    """Whatever way base64 is written by the field's tools, the same bytes come out."""
    text = (base64.urlsafe_b64encode if web_safe else base64.b64encode)(data).decode()
    text = text if padded else text.rstrip("=")
    lines = "\r\n".join(text[at : at + width] for at in range(0, len(text), width))
    assert decode_base64(lines) == data


def test_long_base64_is_decoded_whole() -> None:
    """More than one step's worth of text gives all of its bytes, in order."""
    data = np.random.default_rng(0).bytes(1_000_001)
    assert decode_base64(base64.b64encode(data).decode()) == data


@pytest.mark.parametrize("text", ["a", "ab!d", "äöü=", "abc=def=", "====", "YWJj===", "a=bc"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    """Characters of no alphabet, impossible lengths and padding in the middle are a 400, never other bytes."""
    with pytest.raises(BadRequest, match="base64"):
        decode_base64(text)


@given(arrays(np.float32, st.integers(0, 30), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_decimals_give_the_same_floats_back(row: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    """Every float32 survives JSON, and always reads as a float, also where it is whole."""
    read_back = json.loads(decimals(row))
    assert all(type(value) is float for value in read_back)
    assert np.array_equal(np.array(read_back, np.float32), row)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.2, "0.2"), (1.0, "1.0"), (1 / 3, "0.333333343"), (1e-5, "1e-05"), (9_000_000, "9e+06"), (0.0, "0.0")],
)
def test_decimals_look_as_tensorflow_serving_prints_them(value: float, text: str) -> None:
    """Six digits where they suffice, else nine; `.0` behind whole numbers; exponents as printf writes them."""
    assert decimals(np.array([value], np.float32)) == f"[{text}]"


def test_a_score_that_is_no_number_is_the_models_fault() -> None:
    """NaN is not written into JSON: the model is at fault, and the answer says so."""
    with pytest.raises(ModelError, match="not a number"):
        decimals(np.array([0.5, np.nan], np.float32))


@pytest.mark.parametrize("values", [[[0, 255]], [[0.0, 255.0]], np.array([[0, 255]], np.int64)])
def test_whole_numbers_of_any_kind_are_pixels(values: Any) -> None:
    """7 and 7.0 are the same pixel."""
    assert whole_pixels(values, where="x").tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ([0.5], "unscaled"),
        ([-1], "unscaled"),
        ([256], "unscaled"),
        ([float("nan")], "unscaled"),
        ([1e300], "unscaled"),
        ([10**30], "numbers"),
        (["1"], "numbers"),
        ([None], "numbers"),
        ([{}], "numbers"),
        ([[1], [1, 2]], "differ"),
        ([True, False], "numbers"),
    ],
)
def test_what_is_no_pixel_is_refused(values: Any, hint: str) -> None:
    """Scaled, signed, endless and ragged values are a 400 that says what to send."""
    with pytest.raises(BadRequest, match=hint):
        whole_pixels(values, where="x")


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (8, 9, 3), (0, 8, 3), (3, 8, 8), (8, 8, 3, 1), ()])
def test_an_image_of_another_shape_is_refused_with_the_right_one(shape: tuple[int, ...]) -> None:
    """The sentence names the size that the model takes."""
    with pytest.raises(BadRequest, match=r"\[8, 8, 3\]"):
        fitting(shape, model=brightness(), where="x")


def test_a_request_has_one_kind_of_images_and_not_too_many() -> None:
    """Encoded images and pixels are not mixed; none is a 400, 65 are a 413."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(BadRequest, match="alike"):
        of_one_kind([b"x", pixels])
    with pytest.raises(BadRequest, match="at least one"):
        of_one_kind([])
    with pytest.raises(TooLarge, match="64"):
        of_one_kind([b"x"] * 65)


@dataclass(frozen=True)
class Inner:
    """A part."""

    size: int | None = None


@dataclass(frozen=True)
class Outer:
    """A document."""

    name: str
    parts: list[Inner] = field(default_factory=list)
    share: bool = False


def test_a_document_becomes_its_dataclass() -> None:
    """Known names are read, unknown ones passed over, what is missing or null has its default."""
    read_one = read(Outer, {"name": "a", "parts": [{"size": 1}, {"size": None, "else": 2}], "more": []})
    assert read_one == Outer("a", [Inner(1), Inner()])


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ([], "'name' and 'parts'"),
        ({}, "has no 'name'"),
        ({"name": 1}, "^name must be a string"),
        ({"name": "a", "parts": {}}, "^parts must be a list"),
        ({"name": "a", "parts": [{}, {"size": "1"}]}, r"^parts\[1\].size must be a whole number"),
        ({"name": "a", "parts": [{"size": True}]}, "whole number"),
        ({"name": "a", "parts": [{"size": 1.5}]}, "whole number"),
        ({"name": "a", "parts": [1]}, r"^parts\[0\] must be an object"),
        ({"name": "a", "share": 1}, "true or false"),
    ],
)
def test_a_document_of_another_form_is_refused_by_place(value: Any, hint: str) -> None:
    """The sentence names the place and what belongs there."""
    with pytest.raises(BadRequest, match=hint):
        read(Outer, value)


def test_a_document_is_described_as_it_is_read() -> None:
    """The schema has every field with its type; what has no default is required."""
    parts: dict[str, Any] = {}
    assert schema(Outer, parts) == {"$ref": "#/components/schemas/Outer"}
    assert parts["Outer"]["required"] == ["name"]
    assert parts["Outer"]["properties"]["parts"] == {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}}
    assert parts["Inner"]["properties"] == {"size": {"anyOf": [{"type": "integer"}]}}
