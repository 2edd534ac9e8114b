"""Inference requests of the Open Inference Protocol: what each form means, and what each lie is answered with."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models.small_models import brightness
from worker.errors import BadRequest, TooLarge, WorkerError
from worker.protocols.openinference.request import Inference, WantedOutput, read_inference
from worker.protocols.openinference.response import write_response

MODEL = brightness()
PIXELS = (np.arange(2 * 8 * 8 * 3) % 256).reshape(2, 8, 8, 3)
ENCODED = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["YWJj"]}


def understood(tensor: dict[str, Any], binary: bytes | None = None, **more: Any) -> Inference:
    text = json.dumps({"inputs": [tensor]} | more).encode()
    return read_inference(text + (binary or b""), json_bytes=None if binary is None else len(text), model=MODEL)


def sized(count: int, **more: Any) -> dict[str, Any]:
    return {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": count}} | more


@pytest.mark.parametrize("data", [["YWJj", "ZGVm"], [["YWJj"], ["ZGVm"]]])
def test_base64_images_flat_or_nested(data: Any) -> None:
    """Encoded images in JSON come as base64 in the order of `data`, nested or not, with or without a content type."""
    tensor = ENCODED | {"shape": [2], "data": data}
    assert understood(tensor).images == [b"abc", b"def"]
    assert understood(tensor | {"parameters": {"content_type": "base64"}}).images == [b"abc", b"def"]


def test_binary_bytes_come_behind_their_lengths() -> None:
    """A binary BYTES tensor holds each image behind its length."""
    binary = b"\3\0\0\0abc\2\0\0\0de"
    assert understood(sized(len(binary), shape=[2]), binary).images == [b"abc", b"de"]


@pytest.mark.parametrize("dtype", ["UINT8", "INT32", "INT64", "FP16", "FP32", "FP64"])
def test_pixels_of_any_datatype(dtype: str) -> None:
    """Pixels come flat, nested or binary, in any datatype, as the same uint8 images that may be written to."""
    shaped = {"name": "image", "shape": list(PIXELS.shape), "datatype": dtype}
    kind = {"UINT8": "u1", "INT32": "i4", "INT64": "i8", "FP16": "f2", "FP32": "f4", "FP64": "f8"}[dtype]
    raw = PIXELS.astype(kind).tobytes()
    for form in (
        understood(shaped | {"data": PIXELS.tolist()}),
        understood(shaped | {"data": PIXELS.ravel().tolist()}),
        understood(shaped | {"parameters": {"binary_data_size": len(raw)}}, raw),
    ):
        assert np.array_equal(form.images, PIXELS)
        assert all(isinstance(image, np.ndarray) and image.flags.writeable for image in form.images)


def test_a_raw_body_is_one_image_with_a_binary_answer() -> None:
    """With 0 bytes of JSON the body is the image, and the answer binary."""
    assert read_inference(b"abc", json_bytes=0, model=MODEL) == Inference([b"abc"], WantedOutput(binary=True))


def test_what_is_wanted_comes_from_outputs_and_parameters() -> None:
    """An output's own binary_data goes before the request's; classification and timeout are read; 0 is no timeout."""
    output = {"name": "probabilities", "parameters": {"classification": 3, "binary_data": False}}
    asked = understood(ENCODED, outputs=[output], parameters={"binary_data_output": True, "timeout": 1500}, id="7")
    assert (asked.wanted, asked.id, asked.timeout_s) == (WantedOutput(binary=False, classes=3), "7", 0.0015)
    asked = understood(ENCODED, parameters={"binary_data_output": True, "timeout": 0})
    assert (asked.wanted, asked.id, asked.timeout_s) == (WantedOutput(binary=True), None, None)


SHAPED = {"name": "image", "shape": [1, 8, 8, 3], "datatype": "UINT8", "data": [0] * 192}


@pytest.mark.parametrize(
    ("tensor", "hint"),
    [
        ({"name": "x"}, "has no 'shape'"),
        (ENCODED | {"name": "x"}, "one input, 'image'"),
        (ENCODED | {"shape": []}, "shape"),
        (ENCODED | {"shape": [-1]}, "shape"),
        (ENCODED | {"shape": [1.5]}, "whole number"),
        (ENCODED | {"shape": [1, 2]}, r"\[n, 1\]"),
        (ENCODED | {"shape": [2]}, "2 strings"),
        (ENCODED | {"data": [1]}, "1 strings"),
        (ENCODED | {"data": "YWJj"}, "must be a list"),
        (ENCODED | {"data": ["%"]}, "base64"),
        (ENCODED | {"data": None}, "either 'data'"),
        (ENCODED | {"datatype": "BOOL"}, "'BOOL' is not taken"),
        (ENCODED | {"parameters": {"binary_data_size": 4}}, "either 'data'"),
        (ENCODED | {"parameters": {"shared_memory_region": "a"}}, "Shared memory"),
        (sized(4), "Inference-Header-Content-Length is missing"),
        (SHAPED | {"shape": [1, 8, 8]}, r"\[8, 8, 3\]"),
        (SHAPED | {"shape": [1, 2**62, 2**62, 3]}, r"\[8, 8, 3\]"),
        (SHAPED | {"data": [0] * 191}, r"shape \[191\]"),
        (SHAPED | {"data": [[0] * 96] * 2}, r"shape \[2, 96\]"),
        (SHAPED | {"data": [0.5] * 192}, "unscaled"),
        (SHAPED | {"data": [256] * 192}, "unscaled"),
        (SHAPED | {"data": [float("nan")] * 192}, "unscaled"),
        (SHAPED | {"data": [[0], [0, 0]]}, "differ"),
        (SHAPED | {"data": {}}, "must be a list"),
    ],
)
def test_tensors_that_contradict_themselves_are_refused(tensor: dict[str, Any], hint: str) -> None:
    """Shape, datatype and data that do not go together are a 400 that names what is wrong."""
    with pytest.raises(BadRequest, match=hint):
        understood(tensor)


@pytest.mark.parametrize("shape", [[65], [2**63], [65, 8, 8, 3]])
def test_too_many_images_are_refused_by_their_shape(shape: list[int]) -> None:
    """More images than a request may hold are a 413, before anything is made of that size."""
    with pytest.raises(TooLarge, match="64"):
        understood(ENCODED | {"shape": shape})


@pytest.mark.parametrize(
    ("tensor", "binary", "hint"),
    [
        (sized(8), b"\3\0\0\0abc", "binary_data_size is 8, and 7"),
        (sized(6), b"\3\0\0\0abc", "binary_data_size is 6, and 7"),
        (sized(-1), b"\3\0\0\0abc", "binary_data_size is -1"),
        (sized(7), b"\4\0\0\0abc", "1 elements"),
        (sized(7), b"\xff\xff\xff\xffabc", "1 elements"),
        (sized(7), b"\2\0\0\0abc", "1 elements"),
        (sized(3), b"\3\0\0", "1 elements"),
        (sized(7, shape=[2]), b"\3\0\0\0abc", "2 elements"),
        (sized(191, shape=[1, 8, 8, 3], datatype="UINT8"), b"a" * 191, "191 bytes"),
        (sized(192, shape=[1, 8, 8, 3], datatype="FP32"), b"a" * 192, "192 bytes"),
        (ENCODED, b"more", "4 bytes follow"),
    ],
)
def test_binary_data_that_lie_are_refused(tensor: dict[str, Any], binary: bytes, hint: str) -> None:
    """Sizes that differ from what came, inside the tensor or around it, are a 400."""
    with pytest.raises(BadRequest, match=hint):
        understood(tensor, binary)


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ({"inputs": []}, "the request has none"),
        ({"inputs": [ENCODED, ENCODED]}, "'image', 'image'"),
        ({"inputs": [ENCODED, ENCODED | {"name": "y"}]}, "'image', 'y'"),
        ({"inputs": {}}, "inputs must be a list"),
        ({"id": 7}, "id must be a string"),
        ({"outputs": [{"name": "y"}]}, "'probabilities'"),
        ({"outputs": [{"name": "probabilities"}] * 2}, "'probabilities', 'probabilities'"),
        ({"outputs": [{"name": "probabilities", "parameters": {"classification": 0}}]}, "at least 1"),
        ({"outputs": [{"name": "probabilities", "parameters": {"shared_memory_region": "a"}}]}, "Shared memory"),
        ({"parameters": {"timeout": -1}}, "microseconds"),
        ({"parameters": {"timeout": 10**400}}, "microseconds"),
        ({"parameters": {"timeout": "1"}}, "whole number"),
        ({"parameters": []}, "must be an object"),
    ],
)
def test_requests_that_ask_for_what_is_not_there_are_refused(more: dict[str, Any], hint: str) -> None:
    """Names that are missing, twice or unknown, and parameters of another kind, are a 400."""
    with pytest.raises(BadRequest, match=hint):
        understood(ENCODED, **more)


def test_json_longer_than_the_body_is_refused() -> None:
    """A header that says more JSON than came is a 400, as is one that cuts the JSON."""
    text = json.dumps({"inputs": [ENCODED]}).encode()
    for json_bytes in (len(text) + 1, len(text) - 1, 10**10):
        with pytest.raises(BadRequest):
            read_inference(text, json_bytes=json_bytes, model=MODEL)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_are_understood_or_refused(body: bytes, json_bytes: int) -> None:
    """Nothing that can be sent is anything but an inference or a WorkerError of the 4xx kind."""
    statuses = [200]
    try:
        read_inference(body, json_bytes=json_bytes, model=MODEL)
    except WorkerError as refusal:
        statuses.append(refusal.status)
    assert statuses[-1] in (200, 400, 413)


def test_classes_name_score_index_and_label() -> None:
    """The k best come as `score:index:label`, best first, in JSON or behind their lengths; k may exceed them all."""
    scores = [np.array([0.25, 0.75], np.float32), np.array([0.5, 0.5], np.float32)]
    texts = ["0.750000:1:bright", "0.250000:0:dark", "0.500000:0:dark", "0.500000:1:bright"]
    plain = write_response(Inference([], WantedOutput(classes=9)), scores, model=MODEL)
    (output,) = json.loads(plain.body)["outputs"]
    assert (output["shape"], output["datatype"], output["data"]) == ([2, 2], "BYTES", texts)
    binary = write_response(Inference([], WantedOutput(binary=True, classes=9)), scores, model=MODEL)
    assert binary.body[binary.json_bytes :] == b"".join(struct.pack("<I", len(t)) + t.encode() for t in texts)


@pytest.mark.parametrize(
    ("accepts", "coding"),
    [("", None), ("gzip", "gzip"), ("deflate", "deflate"), ("br, gzip;q=0.5", "gzip"), ("gzip;q=0, identity", None)],
)
def test_answers_are_compressed_only_if_asked(accepts: str, coding: str | None) -> None:
    """An Accept-Encoding that takes gzip or deflate gets it; any other, and a short answer, comes as it is."""
    many = [np.array([0.25, 0.75], np.float32)] * 64
    answer = write_response(Inference([], WantedOutput()), many, model=MODEL, accepts=accepts)
    assert answer.coding == coding
    assert write_response(Inference([], WantedOutput()), many[:1], model=MODEL, accepts=accepts).coding is None


def test_a_base64_image_is_what_was_encoded() -> None:
    """Bytes of every value survive the way through JSON."""
    data = bytes(range(256))
    assert understood(ENCODED | {"data": [base64.b64encode(data).decode()]}).images == [data]
