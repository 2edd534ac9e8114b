"""A whole worker, in process, with the engine that predicts nothing: its numbers, overload, and idleness."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from registry.consul.settings import ConsulSettings
from tests.support.command_process import command
from tests.support.consul_process import ConsulProcess
from tests.support.photos import chelsea_jpeg
from tests.support.waiting import until
from tests.support.workers.held_engine import held_engine
from worker.artifacts.source import ModelSource
from worker.batching.batcher import Batcher
from worker.server.serve import running
from worker.settings import WorkerSettings

DASHBOARD = Path(__file__).parents[4] / "deploy" / "monitoring" / "grafana" / "worker.json"


@dataclass
class Answering:
    """A worker's application that listens."""

    port: int
    batcher: Batcher
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def metrics(self) -> dict[str, list[Any]]:
        """Samples by name."""
        async with self.http.get(f"{self.url}/metrics") as answer:
            text = await answer.text()
        samples: dict[str, list[Any]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append(sample)
        return samples

    async def rejected(self, reason: str) -> float:
        samples = (await self.metrics())["p2p_worker_rejected_total"]
        return next(sample.value for sample in samples if sample.labels["reason"] == reason)


@asynccontextmanager
async def answering(consul: ConsulProcess, **changes: Any) -> AsyncIterator[Answering]:
    settings = WorkerSettings(
        backend=ConsulSettings(url=consul.url),
        source=ModelSource(engine="echo"),
        **{"service": "numbers", "drain_s": 0.0} | changes,
    )
    async with running(settings) as worker, aiohttp.ClientSession() as http:
        yield Answering(worker.instance.port, worker.store.current.batcher, http)


@pytest.fixture
def engine_held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Every prediction waits until this is set."""
    return held_engine(monkeypatch)


async def test_every_metric_of_the_dashboard_is_there(shared_consul: ConsulProcess) -> None:
    """The Grafana dashboard is valid JSON, and asks for no metric or label that a worker does not tell."""
    asked = DASHBOARD.read_text()
    expressions = [target["expr"] for panel in json.loads(asked)["panels"] for target in panel["targets"]]
    async with answering(shared_consul) as worker:
        async with worker.http.post(worker.url, data=chelsea_jpeg()) as answer:
            assert answer.status == 200
        samples = await worker.metrics()
    names = {
        name for text in [*expressions, asked] for name in re.findall(r"\b(?:p2p|process|python)_[a-z0-9_]+", text)
    }
    assert len(names) > 10
    assert names <= samples.keys()
    told = {"instance", "job", *(label for found in samples.values() for sample in found for label in sample.labels)}
    wanted = {label.strip() for e in expressions for by in re.findall(r"by \(([^)]*)\)", e) for label in by.split(",")}
    wanted |= {label for e in expressions for label in re.findall(r"(\w+)=~", e)}
    assert wanted <= told


async def test_a_request_shows_in_every_stage(shared_consul: ConsulProcess) -> None:
    """One request counts once in every stage, under its model and protocol, with its status."""
    async with answering(shared_consul) as worker:
        async with worker.http.post(worker.url, data=chelsea_jpeg()) as answer:
            assert answer.status == 200
        async with worker.http.post(worker.url, data=b"no image") as answer:
            assert answer.status == 415
        samples = await worker.metrics()
    stages = {s.labels["stage"]: s.value for s in samples["p2p_worker_stage_seconds_count"]}
    assert stages == {"receive": 2, "decode": 2, "queue": 1, "predict": 1, "encode": 1}
    counted = {(s.labels["protocol"], s.labels["status"]) for s in samples["p2p_worker_requests_total"]}
    assert {("article", "200"), ("article", "415")} <= counted
    (versions,) = samples["p2p_worker_model_info"]
    assert versions.labels == {"model": "numbers", "version": "1", "engine": "echo"}


async def test_a_full_worker_refuses_before_the_body_has_come(
    shared_consul: ConsulProcess, engine_held: threading.Event
) -> None:
    """With the queue full, headers alone get their 503 with Retry-After: no client sends an image for nothing."""
    async with answering(shared_consul, queue_most=1) as worker:
        engine_held.clear()
        waiting = [asyncio.create_task(_posted(worker)) for _ in range(1)]
        await until(lambda: worker.batcher.running == 1)
        waiting += [asyncio.create_task(_posted(worker))]
        await until(lambda: worker.batcher.depth == 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 30000000\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: " in head
        writer.close()
        engine_held.set()
        assert await asyncio.gather(*waiting) == [200, 200]


async def test_a_crowd_of_refused_requests_leaves_the_others_alone(
    shared_consul: ConsulProcess, engine_held: threading.Event
) -> None:
    """With 300 connections that ask a full worker, each is refused, and those who wait get their answers."""
    async with answering(shared_consul, queue_most=8) as worker:
        engine_held.clear()
        waiting = [asyncio.create_task(_posted(worker))]
        await until(lambda: worker.batcher.running == 1)
        waiting += [asyncio.create_task(_posted(worker)) for _ in range(8)]
        await until(lambda: worker.batcher.depth == 8)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as crowd:
            crowded = Answering(worker.port, worker.batcher, crowd)
            assert await asyncio.gather(*(_posted(crowded) for _ in range(300))) == [503] * 300
        engine_held.set()
        assert await asyncio.gather(*waiting) == [200] * 9
        assert await worker.rejected("queue") == 300


async def test_a_worker_drains_while_requests_come_and_go(
    shared_consul: ConsulProcess, engine_held: threading.Event
) -> None:
    """A batcher is drained when the last of its requests, also of those still being received, is answered."""
    async with answering(shared_consul) as worker:
        engine_held.clear()
        posted = asyncio.create_task(_posted(worker))
        await until(lambda: worker.batcher.running == 1)
        draining = asyncio.create_task(worker.batcher.drained())
        receiving = worker.batcher.coming()
        receiving.__enter__()
        engine_held.set()
        assert await posted == 200
        await asyncio.sleep(0)
        assert not draining.done()
        receiving.__exit__(None, None, None)
        await asyncio.wait_for(draining, 5)


async def test_an_idle_worker_uses_no_measurable_processor_time(shared_consul: ConsulProcess) -> None:
    """After its work a worker sleeps: health checks and heartbeats are all it does, within a hundredth of a core."""
    environ = {"CONSUL_HTTP_ADDR": shared_consul.url}
    async with command("worker", "--engine", "echo", "--service", "idle", environ=environ) as worker:
        found = await until(lambda: re.search(r"Serving .*(http://[\d.:]+)\.", worker.output), within_s=60)
        async with aiohttp.ClientSession() as http, http.post(found[1], data=chelsea_jpeg()) as answer:
            assert answer.status == 200

        async def idle() -> bool:
            before_s = _processor_s(worker.pid)
            await asyncio.sleep(2)
            return _processor_s(worker.pid) - before_s <= 0.02

        await until(idle, within_s=20)  # what an answer leaves to do takes a moment, on a busy machine a longer one


async def _posted(worker: Answering) -> int:
    async with worker.http.post(worker.url, data=chelsea_jpeg()) as answer:
        await answer.read()
        return answer.status


def _processor_s(pid: int) -> float:
    """User and system time of all threads of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
