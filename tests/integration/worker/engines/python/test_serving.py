"""A worker with a Python model: what clients, Consul and operators see when its process ends, and new versions."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytest_asyncio

from p2pclient import AsyncClient
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until
from tests.support.workers.echo_worker import EchoWorker
from tests.support.workers.model_worker import model_worker
from worker.artifacts.source import locate

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRAGILE = """
import os, time
from pathlib import Path
import numpy as np
from numpy.typing import NDArray

HELD, CRASH = Path(__file__).with_name("held"), Path(__file__).with_name("crash")

class Fragile:
    def load(self):
        while HELD.exists():
            time.sleep(0.01)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        if CRASH.exists():
            CRASH.unlink()
            os._exit(3)
        return x + VERSION
"""


def predicted(value: float) -> dict[str, object]:
    return {"instances": [value]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fragile(
    shared_consul: ConsulProcess, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("fragile")
    code = folder / "fragile.py"
    code.write_text(FRAGILE.replace("VERSION", "1"))
    async with model_worker(shared_consul.url, {"fragile": code}, cache=folder / "cache") as worker:
        yield SimpleNamespace(worker=worker, held=folder / "held", crash=folder / "crash")


async def test_a_process_that_ends_is_told_and_does_not_end_the_worker(fragile: SimpleNamespace) -> None:
    """503 with Retry-After, also from the health check, until the model is loaded again."""
    worker: EchoWorker = fragile.worker
    fragile.held.touch()
    fragile.crash.touch()
    for _ in range(2):  # the batch in flight, and one that comes before the process is back
        said = await worker.post("/v1/models/fragile:predict", predicted(1))
        assert said.status == 503
        assert int(said.headers["Retry-After"]) >= 1
        assert said.error.startswith("The model fragile is started again: its process has ended")
    assert (await worker.get("/healthz")).status == 503
    store = worker.running.endpoints[0].store
    assert (store.fit, worker.running.moving) == (False, True)  # no heartbeats; the service manager's watchdog is fed
    ready = await worker.get("/readyz")
    assert ready.status == 503
    assert "started again" in ready.json["waiting_for"][0]
    assert "started again" in ready.json["models"]["fragile"]["versions"][0]["trouble"]
    fragile.held.unlink()

    async def healthy() -> bool:
        return (await worker.get("/healthz")).status == 200

    await until(healthy, within_s=60.0)
    assert (await worker.post("/v1/models/fragile:predict", predicted(1))).json == {"predictions": [2.0]}
    assert store.fit


async def test_the_client_asks_another_worker(
    fragile: SimpleNamespace, shared_consul: ConsulProcess, tmp_path: Path
) -> None:
    """A caller of the client does not see that the process of a model has ended."""
    code = tmp_path / "fragile.py"
    code.write_text(FRAGILE.replace("VERSION", "1"))
    registry = shared_consul.url.replace("http", "consul")
    async with (
        model_worker(shared_consul.url, {"fragile": code}, cache=tmp_path / "cache"),
        AsyncClient(registry, service="fragile", timeout_s=60.0) as client,
    ):

        async def both() -> bool:
            return len([one for one in (await client.workers()).workers if one.health == "passing"]) == 2

        await until(both, within_s=60.0)
        fragile.crash.touch()

        async def attempts() -> bool:
            prediction = await client.predict({"x": np.zeros(1, np.float32)})
            assert prediction.outputs["output"].tolist() == [1.0]
            return prediction.attempts > 1

        await until(attempts, within_s=60.0)
    assert not fragile.crash.exists()


def published(root: Path, version: int) -> None:
    part = root.parent / f"{version}.part"
    part.mkdir()
    (part / "model.py").write_text(FRAGILE.replace("VERSION", str(version)))
    (part / "weights.onnx").touch()  # beside a Python model it is the model's own file
    os.rename(part, root / str(version))


async def test_a_new_version_takes_over(shared_consul: ConsulProcess, tmp_path: Path) -> None:
    """A folder of versions is followed as for any model, once its code is allowed to run."""
    root = tmp_path / "versions"
    root.mkdir()
    published(root, 1)
    assert locate(root).path == root / "1" / "model.py"
    models = {"versioned": root}
    async with model_worker(
        shared_consul.url, models, cache=tmp_path / "cache", allow_unsafe=True, watch_s=0.05
    ) as worker:
        path = "/v1/models/versioned:predict"
        assert (await worker.post(path, predicted(0))).json == {"predictions": [1.0]}
        published(root, 2)

        async def second() -> bool:
            said = await worker.post(path, predicted(0))
            assert said.status == 200
            return bool(said.json == {"predictions": [2.0]})

        await until(second, within_s=60.0)
