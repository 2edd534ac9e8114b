"""Files of several tensors in each format, served by one worker and asked over every protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from p2pclient import AsyncClient
from tests.support.consul_process import ConsulProcess
from tests.support.models.tensor_models import (
    rows,
    totals,
    write_keras,
    write_openvino,
    write_tflite,
    write_torch_export,
)
from tests.support.workers.echo_worker import EchoWorker
from tests.support.workers.model_worker import model_worker

pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'p2p-serving[openvino]'")
pytest.importorskip("torch", reason="torch is not installed: pip install 'p2p-serving[torch]'")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),
]

PLATFORMS = {"openvino": "openvino", "keras": "keras", "tflite": "tflite", "torch": "pytorch_export"}
"""The platform that the Open Inference Protocol names, by the model's name here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sums")


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, Path]:
    """Written outside the event loop: frameworks take seconds to import."""
    return {
        "openvino": write_openvino(folder / "openvino.xml"),
        "keras": write_keras(folder / "keras.keras"),
        "tflite": write_tflite(folder / "tflite.tflite"),
        "torch": write_torch_export(folder / "torch.pt2"),
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(shared_consul: ConsulProcess, models: dict[str, Path], folder: Path) -> AsyncIterator[EchoWorker]:
    async with model_worker(shared_consul.url, models, cache=folder / "cache") as running:
        yield running


@pytest.fixture(params=PLATFORMS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_metadata_name_inputs_and_outputs(worker: EchoWorker, name: str) -> None:
    """Names, datatypes and shapes are those of the file."""
    described = (await worker.get(f"/v2/models/{name}")).json
    assert described["platform"] == PLATFORMS[name]
    assert sorted(described["inputs"], key=lambda entry: str(entry["name"])) == [
        {"name": "numbers", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "offset", "datatype": "FP32", "shape": [-1, 1]},
    ]
    assert sorted(entry["name"] for entry in described["outputs"]) == ["doubled", "total"]


async def test_by_rows_and_by_columns(worker: EchoWorker, name: str) -> None:
    """TensorFlow Serving's two forms, and what is wrong with a request."""
    path = f"/v1/models/{name}:predict"
    said = await worker.post(path, {"instances": [{"numbers": [0, 1, 2], "offset": [0]}]})
    assert said.json == {"predictions": [{"total": [3.0], "doubled": [0.0, 2.0, 4.0]}]}
    columns = {"numbers": [[0, 1, 2], [3, 4, 5]], "offset": [[0], [1]]}
    said = await worker.post(path, {"inputs": columns})
    assert said.json["outputs"]["total"] == [[3.0], [13.0]]
    said = await worker.post(path, {"instances": [{"numbers": [0, 1], "offset": [0]}]})
    assert (said.status, "'numbers' has the shape [1, 2], and the model takes [-1, 3]" in said.error) == (400, True)


async def test_the_open_inference_protocol(worker: EchoWorker, name: str) -> None:
    """Inputs by name; outputs as the request chooses."""
    inputs = [
        {"name": "numbers", "shape": [2, 3], "datatype": "FP32", "data": [0, 1, 2, 3, 4, 5]},
        {"name": "offset", "shape": [2, 1], "datatype": "FP32", "data": [0, 1]},
    ]
    said = await worker.post(f"/v2/models/{name}/infer", {"inputs": inputs, "outputs": [{"name": "total"}]})
    assert said.json["outputs"] == [{"name": "total", "datatype": "FP32", "shape": [2, 1], "data": [3.0, 13.0]}]


async def test_the_client(worker: EchoWorker, shared_consul: ConsulProcess, name: str) -> None:
    """More rows than a batch has come back in order."""
    async with AsyncClient(shared_consul.url.replace("http", "consul"), service=name, timeout_s=30.0) as client:
        prediction = await client.predict(rows(3000).arrays)
    assert prediction.outputs["total"].tolist() == totals(3000)
    assert np.array_equal(prediction.outputs["doubled"], rows(3000).arrays["numbers"] * 2)
