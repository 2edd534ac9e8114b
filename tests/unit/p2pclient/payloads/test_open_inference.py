"""Tensors in messages: what is sent is what the protocol says, and what comes back is what was sent."""

from __future__ import annotations

import array
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from p2pclient import Tensor
from p2pclient.messages import MALFORMED, Answer
from p2pclient.payloads import open_inference

in_moderation = settings(max_examples=50, deadline=None)
KINDS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]


def answer_of(post):
    """The request's tensors sent back as an answer's, as a worker does that changes nothing."""
    size = int(post.headers[open_inference.HEADER])
    head = json.loads(post.body[:size])
    reply = json.dumps({"model_name": "m", "model_version": "3", "outputs": head["inputs"]}).encode()
    return Answer(200, {open_inference.HEADER: str(len(reply))}, reply + post.body[size:])


@in_moderation
@given(st.data())
def test_arrays_survive_encoding(data):
    """Whatever its type, its shape and its order in memory, an array comes back as it was."""
    kind = data.draw(st.sampled_from(KINDS))
    sent = data.draw(arrays.arrays(kind, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
    sent = data.draw(st.sampled_from([sent, sent.T, sent[::-1] if sent.ndim else sent]))
    post = open_inference.infer_request({"x": open_inference.tensor(sent)}, (), {})
    found, model, version = open_inference.outputs(answer_of(post))
    assert (model, version) == ("m", "3")
    assert found["x"].dtype == sent.dtype
    np.testing.assert_array_equal(found["x"], sent)


@in_moderation
@given(st.lists(st.text() | st.binary()))
def test_texts_survive_the_road(texts):
    """Texts and bytes come back as bytes, in their order, whatever they hold."""
    post = open_inference.infer_request({"x": open_inference.tensor(texts)}, (), {})
    found, _, _ = open_inference.outputs(answer_of(post))
    assert list(found["x"]) == [text.encode() if isinstance(text, str) else text for text in texts]


def test_the_request_is_what_the_protocol_says():
    """JSON that names and measures each tensor, then the bytes in the same order; outputs as wanted."""
    inputs = {"a": open_inference.tensor(np.array([[1, 2]], "<i4")), "b": open_inference.tensor(["hi"])}
    post = open_inference.infer_request(inputs, ["scores"], {"timeout": 5})
    size = int(post.headers["Inference-Header-Content-Length"])
    assert json.loads(post.body[:size]) == {
        "inputs": [
            {"name": "a", "shape": [1, 2], "datatype": "INT32", "parameters": {"binary_data_size": 8}},
            {"name": "b", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}},
        ],
        "parameters": {"timeout": 5, "binary_data_output": True},
        "outputs": [{"name": "scores", "parameters": {"binary_data": True}}],
    }
    assert post.body[size:] == struct.pack("<iiI", 1, 2, 2) + b"hi"
    assert open_inference.infer_path("a/b") == "/v2/models/a%2Fb/infer"


def test_answers_in_json_are_read_too():
    """A worker that knows no binary form answers with numbers, nested or flat."""
    head = {
        "model_name": "m",
        "outputs": [
            {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4]]},
            {"name": "t", "datatype": "BYTES", "shape": [1], "data": ["a"]},
        ],
    }
    found, _, version = open_inference.outputs(Answer(200, {}, json.dumps(head).encode()))
    assert found["x"].tolist() == [[1, 2], [3, 4]]
    assert (found["t"].tolist(), version) == ([b"a"], "")


def test_what_numpy_lacks_stays_a_tensor():
    """BF16 has no array: its bytes and its shape are handed on."""
    sent = Tensor("BF16", (2,), b"\x80\x3f\x00\x40")
    found, _, _ = open_inference.outputs(answer_of(open_inference.infer_request({"x": sent}, (), {})))
    assert (found["x"].datatype, found["x"].shape, bytes(found["x"].data)) == ("BF16", (2,), sent.data)


def test_arrays_of_other_libraries_are_taken():
    """Anything with the buffer protocol is an array, NumPy or not."""
    assert open_inference.tensor(array.array("f", [1.0])) == Tensor("FP32", (1,), struct.pack("<f", 1.0))


@pytest.mark.parametrize(
    "array_like", [3, "text", b"bytes", [1, 2], np.array([1j]), np.array([1], ">i4"), np.array([None])]
)
def test_what_is_no_tensor(array_like):
    """Anything else is refused before it is sent, with what to do."""
    with pytest.raises(TypeError, match=r"try numpy\.asarray|give \[text\]|numpy\.asarray\(numbers\)|convert them"):
        open_inference.tensor(array_like)


@pytest.mark.parametrize(
    ("outputs", "rest"),
    [
        ([{"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}], b"1234"),
        ([{"name": "x", "datatype": "FP32", "shape": [3], "parameters": {"binary_data_size": 8}}], b"12345678"),
        ([{"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": -1}}], b""),
        ([{"name": "x", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}], b"\xff\0\0\0ab"),
        ([{"name": "x", "datatype": "WHAT", "shape": [1], "parameters": {"binary_data_size": 1}}], b"1"),
        ([{"name": "x", "datatype": "FP32", "shape": [1], "data": ["a"]}], b""),
        ([{"name": "x", "datatype": "BYTES", "shape": [1], "data": [8_000_000_000]}], b""),  # once 8 GB of zeros
        ([{"name": "x", "datatype": "FP32", "shape": [1], "parameters": 3, "data": [1]}], b""),
        ([{"name": "x", "datatype": "FP32", "shape": [1], "data": [1e300]}], b""),  # which is too large for FP32
        ([{"name": "x", "datatype": "FP32", "shape": [1], "data": [10**400]}], b""),
        ([{"name": "x", "datatype": "FP32", "shape": [1e400], "data": [1]}], b""),
        ([{"name": "x", "datatype": "FP32", "shape": [2**63, 0], "data": []}], b""),
        ([{"name": "x"}], b""),
        ([3], b""),
        (3, b""),
    ],
)
def test_what_is_no_answer(outputs, rest):
    """An answer that contradicts itself is an error that the caller of `read` is told of, never a wrong array."""
    head = json.dumps({"model_name": "m", "outputs": outputs}).encode()
    answer = Answer(200, {open_inference.HEADER: str(len(head))}, head + rest)
    with pytest.raises(MALFORMED):
        open_inference.outputs(answer)


@pytest.mark.parametrize("size", ["-1", "1e3", "9" * 400, "", "x"])
def test_a_header_that_is_no_length(size):
    """The length of the JSON is a number, and no larger than the answer."""
    with pytest.raises(MALFORMED):
        open_inference.outputs(Answer(200, {open_inference.HEADER: size}, b'{"model_name": "m", "outputs": []}'))
