"""The examples of docs/guide/python-models.md, served and asked over every protocol."""

from __future__ import annotations

import importlib.util
import io
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image, ImageDraw

from p2pclient import AsyncClient
from p2pclient.errors import BadInput
from tests.support.consul_process import ConsulProcess
from tests.support.workers.echo_worker import EchoWorker
from tests.support.workers.model_worker import model_worker

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = Path(__file__).parents[5] / "docs" / "guide" / "examples"
NAMES = ("boxes", "table", "two_inputs", "text")
SETOSA, VIRGINICA = [5.1, 3.5, 1.4, 0.2], [6.5, 3.0, 5.8, 2.2]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(shared_consul: ConsulProcess, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EchoWorker]:
    models = {name: EXAMPLES / f"{name}.py" for name in NAMES}
    async with model_worker(shared_consul.url, models, cache=tmp_path_factory.mktemp("cache")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(worker: EchoWorker, shared_consul: ConsulProcess) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(shared_consul.url.replace("http", "consul"), timeout_s=30.0) as calling:
        yield calling


def spots(*boxes: tuple[int, int, int, int]) -> bytes:
    """A black picture with white boxes, as left, top, right, bottom."""
    picture = Image.new("RGB", (64, 48))
    for box in boxes:
        ImageDraw.Draw(picture).rectangle(box, fill="white")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


TWO_SPOTS, ONE_SPOT = spots((2, 3, 9, 7), (30, 20, 39, 29)), spots((10, 10, 20, 20))


async def test_a_table_by_the_client(client: AsyncClient) -> None:
    """Rows go in by name, every output comes back by its name."""
    inputs = {"measurements": np.array([SETOSA, VIRGINICA], np.float32)}
    prediction = await client.predict(inputs, service="table")
    assert prediction.outputs["species"].tolist() == [b"setosa", b"virginica"]
    assert prediction.outputs["probabilities"].shape == (2, 3)
    only = await client.predict(inputs, outputs=["species"], service="table")
    assert list(only.outputs) == ["species"]


async def test_more_rows_than_a_batch_has_come_back_in_order(client: AsyncClient) -> None:
    """A large table is cut into blocks and put together again."""
    many = np.array([SETOSA, VIRGINICA] * 5000, np.float32)
    prediction = await client.predict({"measurements": many}, service="table")
    assert prediction.outputs["species"].tolist() == [b"setosa", b"virginica"] * 5000


async def test_a_table_by_rows_and_by_columns(worker: EchoWorker) -> None:
    """TensorFlow Serving's two forms; an only input needs no name."""
    path = "/v1/models/table:predict"
    for row in (SETOSA, {"measurements": SETOSA}):
        said = await worker.post(path, {"instances": [row]})
        assert said.json["predictions"][0]["species"] == "setosa"
    for column in ([SETOSA, VIRGINICA], {"measurements": [SETOSA, VIRGINICA]}):
        said = await worker.post(path, {"inputs": column})
        assert said.json["outputs"]["species"] == ["setosa", "virginica"]
        assert np.shape(said.json["outputs"]["probabilities"]) == (2, 3)


async def test_metadata_say_what_a_model_takes(worker: EchoWorker) -> None:
    """Both protocols describe the inputs and outputs that the annotations name."""
    described = (await worker.get("/v2/models/table")).json
    assert described["platform"] == "python"
    assert described["inputs"] == [{"name": "measurements", "datatype": "FP32", "shape": [-1, 4]}]
    assert described["outputs"][1] == {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]}
    signature = (await worker.get("/v1/models/table/metadata")).json["metadata"]["signature_def"]["signature_def"]
    info = signature["serving_default"]["inputs"]["measurements"]
    assert info["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in info["tensor_shape"]["dim"]] == ["-1", "4"]


async def test_two_inputs(worker: EchoWorker, client: AsyncClient) -> None:
    """Two tensors of a request are batched over their first axis; JSON needs names."""
    left, right = np.eye(8, dtype=np.float32), np.ones((8, 8), np.float32)
    prediction = await client.predict({"left": left, "right": right}, service="two_inputs")
    assert prediction.outputs["output"] == pytest.approx([1 / np.sqrt(8)] * 8)
    row = {"left": [1.0, *[0] * 7], "right": [2, *[0] * 7]}
    said = await worker.post("/v1/models/two_inputs:predict", {"instances": [row, row]})
    assert said.json == {"predictions": [1.0, 1.0]}
    inputs = [{"name": name, "shape": [1, 8], "datatype": "FP32", "data": value} for name, value in row.items()]
    said = await worker.post("/v2/models/two_inputs/infer", {"inputs": inputs, "id": "7"})
    assert said.json["id"] == "7"
    assert said.json["outputs"] == [{"name": "output", "datatype": "FP32", "shape": [1], "data": [1.0]}]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"instances": [[1.0] * 8]}, "several inputs: name them, 'left', 'right'"),
        ({"instances": [{"left": [1.0] * 8}]}, "takes 'left', 'right'; the request has 'left'"),
        ({"inputs": {"left": [[1.0] * 8], "right": [[1.0] * 8] * 2}}, "'left' has 1, 'right' has 2"),
        (
            {"inputs": {"left": [[1.0] * 7], "right": [[1.0] * 8]}},
            "'left' has the shape [1, 7], and the model takes [-1",
        ),
        ({"inputs": {"left": [["a"] * 8], "right": [[1.0] * 8]}}, "'left' must hold numbers (FP32)"),
        ({"instances": []}, "holds no row"),
    ],
)
async def test_what_does_not_fit_is_refused_in_a_sentence(worker: EchoWorker, body: object, sentence: str) -> None:
    """The input at fault is named, and what the model takes."""
    said = await worker.post("/v1/models/two_inputs:predict", body)
    assert said.status == 400
    assert sentence in said.error


async def test_texts(worker: EchoWorker, client: AsyncClient) -> None:
    """Texts are texts in JSON, without base64, and bytes in the binary form."""
    texts = ["der Hund schläft nicht", "the dog does not sleep", "le chien ne dort pas"]
    found = ["German", "English", "French"]
    prediction = await client.predict({"texts": texts}, service="text")
    assert [label.decode() for label in prediction.outputs["output"]] == found
    assert (await worker.post("/v1/models/text:predict", {"instances": texts})).json == {"predictions": found}
    tensor = {"name": "texts", "shape": [3], "datatype": "BYTES", "data": texts}
    said = await worker.post("/v2/models/text/infer", {"inputs": [tensor]})
    assert said.json["outputs"][0]["data"] == found
    with pytest.raises(BadInput, match="UTF-8"):
        await client.predict({"texts": [b"\xff"]}, service="text")


async def test_boxes(worker: EchoWorker, client: AsyncClient) -> None:
    """An image goes in encoded, as many boxes come out as there are, over every protocol."""
    wanted = [[2, 3, 10, 8], [30, 20, 40, 30]]
    assert (await worker.post("/", TWO_SPOTS)).json["boxes"] == wanted
    prediction = await client.predict({"image": [TWO_SPOTS]}, service="boxes")
    assert prediction.outputs["boxes"].tolist() == [wanted]
    pixels = np.asarray(Image.open(io.BytesIO(ONE_SPOT)))[np.newaxis]
    prediction = await client.predict({"image": pixels}, service="boxes")
    assert prediction.outputs["boxes"].tolist() == [[[10, 10, 21, 21]]]
    assert prediction.outputs["scores"] == pytest.approx(np.ones((1, 1)))


async def test_boxes_of_several_images_differ_in_number(worker: EchoWorker) -> None:
    """By rows each image has its own; a tensor of all cannot be, which a sentence says."""
    images = [{"b64": b64encode(image).decode()} for image in (TWO_SPOTS, ONE_SPOT)]
    said = await worker.post("/v1/models/boxes:predict", {"instances": images})
    assert [len(row["boxes"]) for row in said.json["predictions"]] == [2, 1]
    said = await worker.post("/v1/models/boxes:predict", {"inputs": images})
    assert said.status == 500
    assert "one row in each request" in said.error


async def test_what_a_model_is_not_for(worker: EchoWorker) -> None:
    """Models of tensors have no classes; a body without JSON is an image."""
    said = await worker.post("/v1/models/table:classify", {"examples": [{"x": 1}]})
    assert (said.status, "gives tensors, not classes" in said.error) == (400, True)
    said = await worker.post("/v2/models/table/infer", b"abc", Inference_Header_Content_Length="0")
    assert (said.status, "takes tensors" in said.error) == (400, True)


async def test_readiness_shows_models_of_tensors(worker: EchoWorker) -> None:
    """/readyz names their inputs and the batch that calibration found."""
    body = (await worker.get("/readyz")).json
    (version,) = body["models"]["table"]["versions"]
    assert version["engine"] == "python"
    assert version["inputs"] == [{"name": "measurements", "datatype": "FP32", "shape": [-1, 4]}]
    assert version["batch_cap"] >= 1
    assert json.loads((await worker.get("/openapi.json")).body)["paths"]


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
async def test_pytorch_as_it_is(shared_consul: ConsulProcess, tmp_path: Path) -> None:
    """A module answers POST / and the other protocols as any classifier, with its own labels."""
    models = {"pytorch": EXAMPLES / "pytorch.py"}
    async with model_worker(shared_consul.url, models, cache=tmp_path) as worker:
        buffer = io.BytesIO()
        Image.new("RGB", (40, 30), "white").save(buffer, "PNG")
        best, _ = (await worker.post("/", buffer.getvalue())).json
        assert best[0] == "bright"
        assert best[1] > 0.99
