"""One worker, several models: each with a service, a port, a queue and checks of its own."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

import worker.repository.loader
import worker.repository.model_versions
from registry.consul.catalog import Catalog
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Health
from registry.runtime.errors import SettingsError
from registry.runtime.listen import bind, port_of
from tests.support.consul_process import ConsulProcess
from tests.support.models.versioned_model import Loader, publish
from tests.support.waiting import until
from worker.artifacts.source import ModelSource
from worker.batching import runner
from worker.server.serve import RunningWorker, running
from worker.settings import Served, WorkerSettings


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


BLACK, WHITE = png(0), png(255)


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    """Models that load in no time; white images wait for `hold`."""
    loader = Loader()
    monkeypatch.setattr(worker.repository.loader, "load_model", loader.load)
    monkeypatch.setattr(worker.repository.model_versions, "trial_load", loader.trial_load)
    return loader


def cats_and_dogs(root: Path, consul: ConsulProcess, **changes: Any) -> WorkerSettings:
    """The settings of a worker whose cats are bright and dogs dark, its services called as the test's folder."""
    publish(root / "cats", 1, bright=0.9)
    publish(root / "dogs", 7, bright=0.2)
    said = {"drain_s": 0.1, "watch_s": 0.05, "queue_most": 2} | changes
    return WorkerSettings(
        backend=ConsulSettings(url=consul.url),
        source=ModelSource(path=root / "cats"),
        service=f"cats-{root.name}",
        more=(Served(f"dogs-{root.name}", ModelSource(path=root / "dogs")),),
        **said,
    )


class Two:
    """A running worker of two models, and what Consul says of them."""

    def __init__(self, running: RunningWorker, catalog: Catalog, http: aiohttp.ClientSession) -> None:
        self.running = running
        self.catalog = catalog
        self.http = http
        self.cats, self.dogs = running.instances

    async def bright(self, address: str, image: bytes = BLACK) -> float:
        async with self.http.post(f"http://{address}/", data=image) as answer:
            return round(dict(await answer.json())["bright"], 3)

    async def status(self, address: str, path: str) -> int:
        async with self.http.get(f"http://{address}{path}") as answer:
            return answer.status

    async def health(self) -> list[Health]:
        """Of the cats, then of the dogs."""
        found = [(await self.catalog.health(i.service)).instances for i in (self.cats, self.dogs)]
        return [instance.health for instances in found for instance in instances]


@pytest.fixture
async def two(shared_consul: ConsulProcess, tmp_path: Path, loader: Loader) -> AsyncIterator[Two]:
    said = cats_and_dogs(tmp_path, shared_consul)
    catalog = Catalog(said.backend)
    async with running(said) as worker, aiohttp.ClientSession() as http:
        yield Two(worker, catalog, http)
        loader.hold.set()
    await catalog.close()


async def test_each_model_has_its_service_and_port(two: Two) -> None:
    """Each service's address answers with that service's model; ids, boot ids, ports and versions are their own."""
    assert [await two.bright(i.address) for i in (two.cats, two.dogs)] == [0.9, 0.2]
    assert (two.cats.version, two.dogs.version) == ("1", "7")
    assert len({two.cats.port, two.dogs.port}) == len({two.cats.id, two.dogs.id}) == 2
    assert two.cats.boot != two.dogs.boot
    assert await two.health() == [Health.PASSING, Health.PASSING]
    assert await two.status(two.cats.address, f"/healthz?boot={two.dogs.boot}") == 409


async def test_every_port_knows_all_models(two: Two) -> None:
    """Protocols that name their model find each on every port; /readyz shows all, and which is the port's own."""
    for instance in (two.cats, two.dogs):
        async with two.http.get(f"http://{instance.address}/readyz") as answer:
            body = await answer.json()
        assert (body["model"], sorted(body["models"])) == (instance.service, [two.cats.service, two.dogs.service])
        assert (body["boot"], body["ready"]) == (instance.boot, True)


async def test_a_crowded_model_takes_no_other_out(two: Two, loader: Loader) -> None:
    """While the cats' queue is full they warn and refuse; the dogs go on, and pass."""
    loader.hold.clear()
    batches = two.running.store.current.batcher
    asked = [asyncio.create_task(two.bright(two.cats.address, WHITE))]
    await until(lambda: batches.running == 1)
    asked += [asyncio.create_task(two.bright(two.cats.address)) for _ in range(2)]
    await until(lambda: batches.depth == 2)

    async def warned() -> bool:
        return await two.health() == [Health.WARNING, Health.PASSING]

    assert await two.status(two.cats.address, "/healthz") == 429
    assert await two.status(two.dogs.address, "/healthz") == 200
    await until(warned)
    assert await two.bright(two.dogs.address) == 0.2
    loader.hold.set()
    assert await asyncio.gather(*asked) == [0.9, 0.9, 0.9]


async def test_a_hanging_model_takes_no_other_out(two: Two, loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose prediction never ends is not moving; the other one is, and answers."""
    monkeypatch.setattr(runner, "STUCK_AFTER_S", 0.05)
    loader.hold.clear()
    hanging = asyncio.create_task(two.bright(two.cats.address, WHITE))
    cats, dogs = (endpoint.store for endpoint in two.running.endpoints)
    await until(lambda: not cats.moving)
    assert dogs.moving
    assert await two.bright(two.dogs.address) == 0.2
    loader.hold.set()
    assert await hanging == 0.9
    assert cats.moving


async def test_one_models_swap_leaves_the_other_alone(two: Two, tmp_path: Path) -> None:
    """A new version of the dogs is told to Consul for the dogs; the cats stay as they are."""
    before = (await two.catalog.health(two.cats.service)).instances
    publish(tmp_path / "dogs", 8, bright=0.3)

    async def swapped() -> bool:
        return [i.version for i in (await two.catalog.health(two.dogs.service)).instances] == ["8"]

    await until(swapped)
    assert await two.bright(two.dogs.address) == 0.3
    assert (await two.catalog.health(two.cats.service)).instances == before


async def test_all_rotations_are_left_together(shared_consul: ConsulProcess, tmp_path: Path, loader: Loader) -> None:
    """At the end both are out of their rotations while both still answer; then both are gone."""
    said = cats_and_dogs(tmp_path, shared_consul, drain_s=1.0)
    catalog = Catalog(said.backend)
    started, end = asyncio.Event(), asyncio.Event()
    two: list[Two] = []

    async def live() -> None:
        async with running(said) as worker:
            two.append(Two(worker, catalog, http))
            started.set()
            await end.wait()

    async with aiohttp.ClientSession() as http:
        living = asyncio.create_task(live())
        await started.wait()
        end.set()

        async def both_left() -> bool:
            return await two[0].health() == [Health.MAINTENANCE] * 2

        await until(both_left)
        assert [await two[0].bright(i.address) for i in two[0].running.instances] == [0.9, 0.2]
        async with http.get(f"http://{two[0].dogs.address}/readyz") as answer:
            body = await answer.json()
            assert (answer.status, body["leaving"], "leaving" in body["waiting_for"][0]) == (503, True, True)
        await living
        assert await two[0].health() == []
    await catalog.close()


async def test_ports_follow_each_other(shared_consul: ConsulProcess, tmp_path: Path, loader: Loader) -> None:
    """With --port the models take that port and the next ones; where one is taken, nothing is left listening."""
    port = _two_free_ports()
    async with running(cats_and_dogs(tmp_path, shared_consul, port=port)) as worker:
        assert [instance.port for instance in worker.instances] == [port, port + 1]
    with bind("127.0.0.1", port + 1), pytest.raises(SettingsError, match=f"Port {port + 1}"):
        async with running(cats_and_dogs(tmp_path / "again", shared_consul, port=port)):
            pass
    bind("127.0.0.1", port).close()


def _two_free_ports() -> int:
    """A port that is free, as is the next."""
    while True:
        with bind("127.0.0.1", 0) as one:
            port = port_of(one)
            try:
                bind("127.0.0.1", port + 1).close()
            except (SettingsError, OverflowError):
                continue
            return port


async def test_the_command_line_serves_several(shared_consul: ConsulProcess) -> None:
    """`p2p worker --model a=... --model b=...` serves both, registered, and ends cleanly on SIGTERM."""
    command = ["-m", "p2pclient", "worker", "--engine", "echo", "--drain", "0.1"]
    models = ["--model", "line-a=nowhere", "--model", "line-b=nowhere"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command, *models),
        env=os.environ | {"CONSUL_HTTP_ADDR": shared_consul.url},
        stderr=asyncio.subprocess.PIPE,
    )
    catalog = Catalog(ConsulSettings(url=shared_consul.url))

    async def served() -> list[str]:
        found = [(await catalog.health(name)).instances for name in ("line-a", "line-b")]
        return [instance.address for instances in found for instance in instances]

    async def both() -> bool:
        return len(await served()) == 2

    await until(both, within_s=20)
    async with aiohttp.ClientSession() as http:
        for address in await served():
            async with http.post(f"http://{address}/", data=BLACK) as answer:
                assert json.loads(await answer.text()) == [["width", 0.5], ["height", 0.5]]
    process.send_signal(signal.SIGTERM)
    _, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    assert await served() == []
    await catalog.close()
