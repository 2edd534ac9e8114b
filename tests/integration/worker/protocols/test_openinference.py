"""The Open Inference Protocol V2 on a worker's port: the bytes that Triton's and KServe's clients send."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from tests.support.consul_process import ConsulProcess
from tests.support.photos import encode
from tests.support.workers.echo_worker import EchoWorker, Said, echo_worker

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "/v2/models/echo"
INFER = f"{MODEL}/infer"
WIDE_PNG = encode(Image.new("RGB", (30, 10)), "PNG")
WIDE = [0.75, 0.25]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(shared_consul: ConsulProcess) -> AsyncIterator[EchoWorker]:
    async with echo_worker(shared_consul.url, max_body_bytes=1_000_000) as running:
        yield running


def in_json(**more: Any) -> dict[str, Any]:
    data = [base64.b64encode(WIDE_PNG).decode()]
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"}}
    return {"inputs": [tensor | {"data": data}]} | more


def in_binary(**more: Any) -> tuple[bytes, str]:
    """A body with a binary tensor, and how many of its bytes are JSON."""
    binary = struct.pack("<I", len(WIDE_PNG)) + WIDE_PNG
    size = {"binary_data_size": len(binary)}
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": size}
    text = json.dumps({"inputs": [tensor]} | more).encode()
    return text + binary, str(len(text))


def binary_floats(said: Said) -> list[float]:
    """The one output of a binary answer."""
    size = int(said.headers["Inference-Header-Content-Length"])
    (output,) = json.loads(said.body[:size])["outputs"]
    assert output["parameters"]["binary_data_size"] == len(said.body) - size
    assert "data" not in output
    return np.frombuffer(said.body[size:], "<f4").tolist()  # type: ignore[no-any-return]


async def test_health_and_metadata(worker: EchoWorker) -> None:
    """Liveness, readiness and what server and model say of themselves, as the protocol words it."""
    assert (await worker.get("/v2/health/live")).json == {"live": True}
    assert (await worker.get("/v2/health/ready")).json == {"ready": True}
    for path in ("/v2", "/v2/"):
        server = (await worker.get(path)).json
        assert server["extensions"] == ["binary_tensor_data", "classification"]
    for path in (MODEL, f"{MODEL}/versions/1"):
        assert (await worker.get(f"{path}/ready")).json == {"name": "echo", "ready": True}
        assert (await worker.get(path)).json == {
            "name": "echo",
            "versions": ["1"],
            "platform": "echo",
            "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
            "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}],
        }


async def test_a_leaving_worker_is_live_and_not_ready(worker: EchoWorker) -> None:
    """While leaving the worker is not ready, with 503, and still live."""
    worker.running.state.leaving = True
    try:
        assert (await worker.get("/v2/health/live")).status == 200
        said = await worker.get("/v2/health/ready")
        assert (said.status, said.json) == (503, {"ready": False})
    finally:
        worker.running.state.leaving = False


@pytest.mark.parametrize(
    "path", ["/v2/models/nope", "/v2/models/nope/ready", f"{MODEL}/versions/7/ready", f"{MODEL}/config"]
)
async def test_what_is_not_there_is_not_found(worker: EchoWorker, path: str) -> None:
    """Unknown models and versions, and the model configuration that this protocol does not have, are 404."""
    said = await worker.get(path)
    assert (said.status, len(said.error) > 10) == (404, True)


async def test_json_in_json_out(worker: EchoWorker) -> None:
    """An image in base64 gives flat scores with their shape, and the request's id."""
    said = await worker.post(INFER, in_json(id="seven"))
    output = {"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": WIDE}
    expected = {"model_name": "echo", "model_version": "1", "id": "seven", "outputs": [output]}
    assert (said.status, said.json) == (200, expected)
    assert "Inference-Header-Content-Length" not in said.headers


@pytest.mark.parametrize(
    "wanted",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]},
    ],
)
async def test_binary_in_binary_out(worker: EchoWorker, wanted: dict[str, Any]) -> None:
    """Binary tensors behind the JSON, both ways; the answer's header says where they start."""
    body, size = in_binary(**wanted)
    said = await worker.post(f"{MODEL}/versions/1/infer", body, Inference_Header_Content_Length=size)
    assert (said.status, binary_floats(said)) == (200, WIDE)


async def test_binary_in_json_out(worker: EchoWorker) -> None:
    """Without a wish for binary outputs the answer is JSON, whatever the request was."""
    body, size = in_binary()
    said = await worker.post(INFER, body, Inference_Header_Content_Length=size)
    assert said.json["outputs"][0]["data"] == WIDE


async def test_the_image_itself_as_the_body(worker: EchoWorker) -> None:
    """Header 0: the body is the image, the answer binary."""
    said = await worker.post(INFER, WIDE_PNG, Inference_Header_Content_Length="0")
    assert (said.status, binary_floats(said)) == (200, WIDE)


@pytest.mark.parametrize("dtype", ["UINT8", "FP32"])
async def test_pixels_as_binary_tensors(worker: EchoWorker, dtype: str) -> None:
    """Two decoded images of any size, for an engine that takes any."""
    raw = np.zeros((2, 10, 30, 3), "u1" if dtype == "UINT8" else "<f4").tobytes()
    size = {"binary_data_size": len(raw)}
    tensor = {"name": "image", "shape": [2, 10, 30, 3], "datatype": dtype, "parameters": size}
    text = json.dumps({"inputs": [tensor]}).encode()
    said = await worker.post(INFER, text + raw, Inference_Header_Content_Length=str(len(text)))
    assert said.json["outputs"][0] == {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": WIDE * 2}


async def test_classes_instead_of_scores(worker: EchoWorker) -> None:
    """The classification extension, in JSON and binary."""
    output = {"name": "probabilities", "parameters": {"classification": 1}}
    said = await worker.post(INFER, in_json(outputs=[output]))
    assert said.json["outputs"][0] == {
        "name": "probabilities", "datatype": "BYTES", "shape": [1, 1], "data": ["0.750000:0:width"],
    }  # fmt: skip
    said = await worker.post(INFER, in_json(outputs=[output], parameters={"binary_data_output": True}))
    assert said.body.endswith(struct.pack("<I", 16) + b"0.750000:0:width")


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_requests_are_taken(worker: EchoWorker, coding: str, pack: Any) -> None:
    """gzip and deflate bodies, JSON and binary; the header counts uncompressed JSON."""
    said = await worker.post(INFER, pack(json.dumps(in_json()).encode()), Content_Encoding=coding)
    assert (said.status, said.json["outputs"][0]["data"]) == (200, WIDE)
    body, size = in_binary()
    said = await worker.post(INFER, pack(body), Content_Encoding=coding, Inference_Header_Content_Length=size)
    assert said.status == 200


@pytest.mark.parametrize(("coding", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
async def test_answers_are_compressed_if_asked(worker: EchoWorker, coding: str, unpack: Any) -> None:
    """A long answer comes as Accept-Encoding asks; its header still counts uncompressed JSON."""
    image = base64.b64encode(WIDE_PNG).decode()
    tensor = {"name": "image", "shape": [64], "datatype": "BYTES", "data": [image] * 64}
    body = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    said = await worker.post(INFER, body, Accept_Encoding=coding)
    assert said.headers["Content-Encoding"] == coding
    plain = Said(said.status, unpack(said.body), said.headers)
    assert binary_floats(plain) == WIDE * 64
    assert "Content-Encoding" not in (await worker.post(INFER, body)).headers


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_is_refused_at_the_limit(worker: EchoWorker, coding: str) -> None:
    """A small body that unpacks to 40 MB is a 413 as soon as it passes the limit of what is unpacked."""

    def pack() -> bytes:
        packing = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
        return b"".join(packing.compress(b" " * 1_000_000) for _ in range(40)) + packing.flush()

    bomb = await asyncio.to_thread(pack)
    said = await worker.post(INFER, bomb, Content_Encoding=coding)
    assert (said.status, "--max-body" in said.error) == (413, True)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("path", [INFER, "/v1/models/echo:predict", "/"])
async def test_broken_compression_is_a_bad_request(worker: EchoWorker, coding: str, path: str) -> None:
    """A body that is not what its Content-Encoding says is a 400 with a sentence, and the next is answered."""
    said = await worker.post(path, b"\x78not compressed at all", Content_Encoding=coding)
    assert (said.status, len(said.error) > 10) == (400, True)
    assert (await worker.post(INFER, in_json())).status == 200


@pytest.mark.parametrize("size", ["-1", "x", "1e3", "99999999999", "5", "٣"])
async def test_a_header_that_lies_is_a_bad_request(worker: EchoWorker, size: str) -> None:
    """A JSON length that is no number, exceeds the body or cuts the JSON is a 400."""
    body, _ = in_binary()
    said = await worker.post(INFER, body, Inference_Header_Content_Length=size)
    assert (said.status, len(said.error) > 10) == (400, True)


async def test_a_timeout_in_microseconds_is_kept(worker: EchoWorker) -> None:
    """A request that cannot be answered within its `timeout` is refused at once; 0 means none."""
    said = await worker.post(INFER, in_json(parameters={"timeout": 1}))
    assert (said.status, said.headers["Retry-After"].isdigit()) == (503, True)
    assert (await worker.post(INFER, in_json(parameters={"timeout": 0}))).status == 200
    assert (await worker.post(INFER, in_json(parameters={"timeout": 10**9}))).status == 200


@pytest.mark.parametrize(("body", "status"), [(b"", 400), (b"{}", 400), (b"[" * 10_000, 400), (b"GIF89a", 400)])
async def test_bodies_that_cannot_be_used_are_explained(worker: EchoWorker, body: bytes, status: int) -> None:
    """What is not an inference request is a 400 with a sentence."""
    said = await worker.post(INFER, body)
    assert (said.status, len(said.error) > 10) == (status, True)


async def test_a_method_that_is_not_answered_names_those_that_are(worker: EchoWorker) -> None:
    """405 carries Allow."""
    said = await worker.get(INFER)
    assert (said.status, said.headers["Allow"]) == (405, "POST")
