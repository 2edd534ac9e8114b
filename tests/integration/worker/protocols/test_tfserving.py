"""TensorFlow Serving's REST on a worker's port, as its documentation has it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import requests
from PIL import Image

from tests.support.consul_process import ConsulProcess
from tests.support.photos import encode
from tests.support.workers.echo_worker import EchoWorker, echo_worker

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "/v1/models/echo"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(shared_consul: ConsulProcess) -> AsyncIterator[EchoWorker]:
    async with echo_worker(shared_consul.url) as running:
        yield running


def png(width: int, height: int) -> bytes:
    return encode(Image.new("RGB", (width, height)), "PNG")


def b64(width: int, height: int, *, web_safe: bool = False) -> dict[str, str]:
    code = base64.urlsafe_b64encode if web_safe else base64.b64encode
    return {"b64": code(png(width, height)).decode()}


WIDE, TALL = [0.75, 0.25], [0.25, 0.75]


@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/1"])
@pytest.mark.parametrize(
    "rows",
    [
        [b64(30, 10), b64(10, 30)],
        [b64(30, 10, web_safe=True), b64(10, 30, web_safe=True)],
        [{"image": b64(30, 10)}, {"image": b64(10, 30)}],
        [np.zeros((1, 3, 3), int).tolist(), np.zeros((3, 1, 3), int).tolist()],
        [{"image": np.zeros((1, 3, 3)).tolist()}, {"image": np.full((3, 1, 3), 255.0).tolist()}],
    ],
)
async def test_instances_are_predicted_in_order(worker: EchoWorker, path: str, rows: list[Any]) -> None:
    """Rows in each form, encoded or pixels, named or not, give `predictions` in their order."""
    said = await worker.post(f"{path}:predict", {"instances": rows})
    assert (said.status, said.json) == (200, {"predictions": [WIDE, TALL]})


@pytest.mark.parametrize(
    "inputs",
    [
        [b64(30, 10), b64(10, 30)],
        {"image": [b64(30, 10), b64(10, 30)]},
        {"image": np.zeros((2, 1, 3, 3), int).tolist()},
    ],
)
async def test_inputs_give_outputs(worker: EchoWorker, inputs: Any) -> None:
    """The columnar form, with or without the input's name, is answered with `outputs`."""
    said = await worker.post(f"{MODEL}:predict", {"signature_name": "serving_default", "inputs": inputs})
    outputs = (
        [WIDE, WIDE]
        if "image" in inputs and len(inputs["image"][0]) == 1 and "b64" not in inputs["image"][0]
        else [WIDE, TALL]
    )
    assert (said.status, said.json) == (200, {"outputs": outputs})


async def test_numbers_are_printed_as_tensorflow_serving_does(worker: EchoWorker) -> None:
    """A third is 0.333333343, the shortest that gives the float32 back in nine digits."""
    said = await worker.post(f"{MODEL}:predict", {"instances": [b64(10, 20)]})
    assert said.body == b'{"predictions":[[0.333333343,0.666666687]]}\n'


async def test_examples_are_classified(worker: EchoWorker) -> None:
    """`:classify` gives labels with scores, best first; what `context` holds belongs to each example."""
    said = await worker.post(f"{MODEL}:classify", {"examples": [{"image": b64(30, 10)}, {"image": b64(10, 30)}]})
    best = [[["width", 0.75], ["height", 0.25]], [["height", 0.75], ["width", 0.25]]]
    assert (said.status, said.json) == (200, {"results": best})
    said = await worker.post(f"{MODEL}:classify", {"context": {"image": b64(30, 10)}, "examples": [{}, {}]})
    assert said.json["results"] == [best[0]] * 2


async def test_the_state_of_versions_is_told(worker: EchoWorker) -> None:
    """The model's state, of all versions and of one, in the words of GetModelStatusResponse."""
    status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in (MODEL, f"{MODEL}/versions/1"):
        said = await worker.get(path)
        assert (said.status, said.json) == (200, {"model_version_status": [status]})


async def test_metadata_name_what_predict_takes(worker: EchoWorker) -> None:
    """The signature's input and output, with the number of classes."""
    said = await worker.get(f"{MODEL}/versions/1/metadata")
    assert said.json["model_spec"] == {"name": "echo", "signature_name": "", "version": "1"}
    signature = said.json["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["image"]["dtype"] == "DT_STRING"
    assert [dim["size"] for dim in signature["outputs"]["probabilities"]["tensor_shape"]["dim"]] == ["-1", "2"]


@pytest.mark.parametrize(
    ("method", "path", "hint"),
    [
        ("GET", "/v1/models/nope", "there is echo"),
        ("GET", f"{MODEL}/versions/7", "'7'"),
        ("GET", f"{MODEL}/labels/canary", "'canary'"),
        ("GET", f"{MODEL}/versions/7/metadata", "'7'"),
        ("POST", "/v1/models/nope:predict", "there is echo"),
        ("POST", f"{MODEL}/versions/7:predict", "'7'"),
        ("POST", f"{MODEL}/labels/canary:classify", "'canary'"),
        ("POST", f"{MODEL}:explain", "nothing at"),
    ],
)
async def test_what_is_not_there_is_not_found(worker: EchoWorker, method: str, path: str, hint: str) -> None:
    """Unknown models, versions, labels and verbs are 404 with what there is."""
    said = await worker.ask(method, path, {} if method == "POST" else None)
    assert (said.status, hint in said.error) == (404, True), said.error


GOOD = [b64(30, 10)]


@pytest.mark.parametrize(
    ("body", "status", "hint"),
    [
        (b"", 400, "empty"),
        (b"\xff\xd8\xff", 400, "UTF-8"),
        (b"[" * 10_000, 400, "deeply"),
        (b'{"instances": [1e999]}', 400, "instances[0]"),
        ([], 400, "must be an object"),
        ({}, 400, "'instances' or 'inputs'"),
        ({"instances": GOOD, "inputs": GOOD}, 400, "not both"),
        ({"instances": []}, 400, "at least one"),
        ({"instances": {}}, 400, "must be a list"),
        ({"inputs": b64(3, 1)}, 400, "must be a list"),
        ({"instances": GOOD * 65}, 413, "64"),
        ({"instances": [{"picture": b64(3, 1)}]}, 400, "'image'"),
        ({"instances": [{"image": b64(3, 1), "more": 1}]}, 400, "'more'"),
        ({"instances": [{"b64": 7}]}, 400, "instances[0].b64"),
        ({"instances": [{"b64": "%"}]}, 400, "base64"),
        ({"instances": [{"b64": ""}]}, 400, "empty"),
        ({"instances": [{"b64": "YWJj"}]}, 415, "JPEG"),
        ({"instances": ["YWJj"]}, 400, "b64"),
        ({"instances": [[[[0, 0]]]]}, 400, "[height, width, 3]"),
        ({"instances": [[[[0, 0, 0.5]]]]}, 400, "unscaled"),
        ({"instances": [[[[0, 0, 256]]]]}, 400, "unscaled"),
        ({"instances": [[[[0, 0, None]]]]}, 400, "numbers"),
        ({"instances": [[[[0, 0, 0]], [[0, 0]]]]}, 400, "differ"),
        (b'{"instances": [[[[0, 0, NaN]]]]}', 400, "unscaled"),
        ({"instances": [*GOOD, [[[0, 0, 0]]]]}, 400, "alike"),
        ({"instances": GOOD, "signature_name": "other"}, 400, "serving_default"),
        ({"instances": GOOD, "signature_name": 1}, 400, "signature_name must be"),
    ],
)
async def test_bodies_that_cannot_be_used_are_explained(worker: EchoWorker, body: Any, status: int, hint: str) -> None:
    """Each malformed body gets its status and a sentence, and the next request its answer."""
    said = await worker.post(f"{MODEL}:predict", body)
    assert (said.status, hint in said.error) == (status, True), said.error
    assert (await worker.post(f"{MODEL}:predict", {"instances": GOOD})).status == 200


async def test_regression_and_bad_examples_are_refused(worker: EchoWorker) -> None:
    """These models classify: `:regress` is a 400 that says so, as are examples without an image."""
    said = await worker.post(f"{MODEL}:regress", {"examples": [{}]})
    assert (said.status, ":predict" in said.error) == (400, True)
    for examples in ([{}], ["x"], [{"image": 7}]):
        assert (await worker.post(f"{MODEL}:classify", {"examples": examples})).status == 400
    assert (await worker.post(f"{MODEL}:classify", {})).status == 400


async def test_deadline_and_process_are_checked_here_too(worker: EchoWorker) -> None:
    """P2P-Timeout-Ms and P2P-Boot mean here what they mean for the article's path."""
    body = {"instances": GOOD}
    said = await worker.post(f"{MODEL}:predict", body, P2P_Timeout_Ms="0")
    assert (said.status, said.headers["Retry-After"].isdigit()) == (503, True)
    assert (await worker.post(f"{MODEL}:predict", body, P2P_Timeout_Ms="soon")).status == 400
    assert (await worker.post(f"{MODEL}:predict", body, P2P_Boot="another")).status == 421


async def test_a_form_is_sent_to_the_right_path(worker: EchoWorker) -> None:
    """A form posted here is a 400 that says where forms go."""
    said = await worker.post(f"{MODEL}:predict", b"--b--", Content_Type="multipart/form-data; boundary=b")
    assert (said.status, "POST it to /" in said.error) == (400, True)


async def test_requests_of_the_documentation_work_unchanged(worker: EchoWorker) -> None:
    """The client code of TensorFlow Serving's tutorial, on the library that it uses."""

    def client() -> Any:
        data = json.dumps({"signature_name": "serving_default", "instances": [{"b64": b64(30, 10)["b64"]}]})
        headers = {"content-type": "application/json"}
        return requests.post(f"{worker.url}{MODEL}:predict", data=data, headers=headers, timeout=10)

    answer = await asyncio.to_thread(client)
    answer.raise_for_status()
    assert answer.json()["predictions"][0] == WIDE


async def test_neighbours_are_answered_while_a_large_body_is_read(worker: EchoWorker) -> None:
    """While 5 MB of pixels are parsed, other requests are answered, one after the other."""

    def pixels() -> bytes:
        rows = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3)).tolist()
        return json.dumps({"instances": rows}).encode()

    body = await asyncio.to_thread(pixels)
    large = asyncio.create_task(worker.post(f"{MODEL}:predict", body))
    answered = 0
    while not large.done():
        assert (await worker.post("/", png(3, 1))).status == 200
        answered += 1
    assert (await large).json == {"predictions": [[0.5, 0.5]] * 8}
    assert answered > 2
