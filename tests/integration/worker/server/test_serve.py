"""A whole worker, in process, with the engine that predicts nothing: what it answers, and how it leaves."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from PIL import Image

from registry.consul.catalog import Catalog
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Health
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until
from tests.support.workers.held_engine import held_engine
from worker.artifacts.source import ModelSource
from worker.server.serve import RunningWorker, running, serve
from worker.settings import WorkerSettings


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@asynccontextmanager
async def worker_on(consul: ConsulProcess, **changes: Any) -> AsyncIterator[RunningWorker]:
    settings = WorkerSettings(
        backend=ConsulSettings(url=consul.url),
        source=ModelSource(engine="echo"),
        **{"service": "echo", "drain_s": 0.2} | changes,
    )
    async with running(settings) as worker:
        yield worker


class Asking:
    """Requests to one worker."""

    def __init__(self, worker: RunningWorker, http: aiohttp.ClientSession) -> None:
        self.worker = worker
        self.http = http
        self.url = f"http://{worker.instance.address}"

    async def post(self, data: Any, path: str = "/", **headers: str) -> tuple[int, Any]:
        async with self.http.post(self.url + path, data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[int, str]:
        async with self.http.get(self.url + path) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def asking(shared_consul: ConsulProcess) -> AsyncIterator[Asking]:
    async with worker_on(shared_consul, max_body_bytes=100_000) as worker, aiohttp.ClientSession() as http:
        yield Asking(worker, http)


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes predictions of the image HELD wait; calling it lets them all go."""
    go = held_engine(monkeypatch, holds=lambda images: len(images) > 0 and images[0].shape[:2] == (3, 5))
    go.clear()
    return go.set


HELD = png(5, 3)


def form(*fields: tuple[str, bytes]) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, content in fields:
        data.add_field(name, content, filename="cat.png")
    return data


async def test_raw_and_form_bodies_are_alike(asking: Asking) -> None:
    """The image as the body, or as the field `data`: the same pairs, best first."""
    pairs = [["width", 0.75], ["height", 0.25]]
    assert await asking.post(png(30, 10)) == (200, pairs)
    assert await asking.post(form(("data", png(30, 10)))) == (200, pairs)


async def test_several_fields_are_answered_in_order(asking: Asking) -> None:
    """Several `data` fields give a list of answers in the order of the fields; other fields are passed over."""
    fields = form(("data", png(30, 10)), ("note", b"x"), ("data", png(10, 30)))
    status, answers = await asking.post(fields)
    assert (status, [a[0][0] for a in answers]) == (200, ["width", "height"])


async def test_top_limits_the_pairs(asking: Asking) -> None:
    """`top` says how many pairs come, at most all there are."""
    assert (await asking.post(png(30, 10), "/?top=1"))[1] == [["width", 0.75]]
    assert len((await asking.post(png(30, 10), "/?top=900"))[1]) == 2


@pytest.mark.parametrize(
    ("data", "status", "hint"),
    [
        (b"", 400, "empty"),
        (b"no image", 415, "JPEG"),
        (png(30, 10)[:40], 400, "image"),
        (b"x" * 100_001, 413, "--max-body"),
        (form(("data", b"")), 400, "empty"),
        (form(("photo", png(3, 1))), 400, "'photo'"),
        (form(("data", b"x" * 100_001)), 413, "--max-body"),
        (form(*[("data", png(3, 1))] * 65), 413, "64"),
    ],
)
async def test_what_cannot_be_used_is_explained(asking: Asking, data: Any, status: int, hint: str) -> None:
    """Each bad body gets its status and a sentence that says what to do."""
    if isinstance(data, aiohttp.FormData):
        data = data()  # parameters are built once, a form can be sent once
        asking.http.headers.update(data.headers)
    got, body = await asking.post(data)
    assert (got, hint in body["error"]) == (status, True), body


@pytest.mark.parametrize("query", ["top=0", "top=-1", "top=x", "top=1001", "top=99999999999999999999"])
async def test_a_top_that_cannot_be_used_is_refused(asking: Asking, query: str) -> None:
    """`top` outside 1 to 1000 is a 400."""
    status, body = await asking.post(png(3, 1), f"/?{query}")
    assert (status, "from 1 to 1000" in body["error"]) == (400, True)


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\nContent-Disposition: form-data; name=data\r\n\r\nabc",
        b"no boundary at all",
        b"--b\r\n\r\n--b--\r\n",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
        b"--b--\r\n",
    ],
)
async def test_a_broken_form_is_a_bad_request(asking: Asking, body: bytes) -> None:
    """Forms that do not end, do not begin, or nest are refused with a sentence; the worker goes on."""
    status, answer = await asking.post(body, **{"Content-Type": "multipart/form-data; boundary=b"})
    assert (status // 100, len(answer["error"]) > 10) == (4, True)
    assert (await asking.post(png(3, 1)))[0] == 200


async def test_a_form_without_boundary_is_a_bad_request(asking: Asking) -> None:
    """`multipart/form-data` that names no boundary is refused with a sentence."""
    status, answer = await asking.post(b"x", **{"Content-Type": "multipart/form-data"})
    assert (status, "multipart" in answer["error"]) == (400, True)


async def test_a_large_body_is_refused_before_it_is_sent(asking: Asking) -> None:
    """A client that asks first (Expect: 100-continue) gets its 413 without sending the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", asking.worker.instance.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n")
    assert b"413" in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_another_process_is_not_taken_for_this_one(asking: Asking) -> None:
    """A boot id that is not this process's: 421 for a request, 409 for a health check."""
    boot = asking.worker.state.boot
    assert (await asking.post(png(3, 1), **{"P2P-Boot": boot}))[0] == 200
    assert (await asking.post(png(3, 1), **{"P2P-Boot": "other"}))[0] == 421
    assert (await asking.get(f"/healthz?boot={boot}"))[0] == 200
    assert (await asking.get("/healthz?boot=other"))[0] == 409
    assert (await asking.get("/healthz"))[0] == 200


async def test_other_paths_and_methods_are_refused(asking: Asking) -> None:
    """An unknown path is 404, a method that is not answered 405; both say what to do."""
    assert (await asking.post(b"x", "/nowhere"))[0] == 404
    status, text = await asking.get("/")
    assert (status, "POST" in text) == (405, True)


async def test_readiness_and_numbers_tell(asking: Asking) -> None:
    """`/readyz` says what is served; `/metrics` counts requests, stages and batches."""
    await asking.post(png(3, 1))
    status, text = await asking.get("/readyz")
    assert (status, '"engine": "echo"' in text) == (200, True)
    _, text = await asking.get("/metrics")
    assert 'p2p_worker_requests_total{model="echo",protocol="article",status="200"}' in text
    assert 'p2p_worker_stage_seconds_count{model="echo",stage="predict"}' in text
    assert 'p2p_worker_queue_depth{model="echo"} 0.0' in text
    assert re.search(r"(?m)^p2p_worker_tasks [1-9]", text)


async def test_a_deadline_in_the_queue_is_kept(asking: Asking, hold: Callable[[], None]) -> None:
    """An image whose caller's time runs out while the engine is busy gets 504, when the engine is free again."""
    first = asyncio.create_task(asking.post(HELD))
    await until(lambda: asking.worker.store.current.batcher.running == 1)
    late = asyncio.create_task(asking.post(png(30, 10), **{"P2P-Timeout-Ms": "500"}))
    patient = asyncio.create_task(asking.post(png(30, 10)))
    await until(lambda: asking.worker.store.current.batcher.depth == 2)
    await asyncio.sleep(0.5)  # that caller's time
    hold()
    assert (await first)[0] == 200
    assert (await late)[0] == 504
    assert (await patient)[0] == 200


async def test_a_timeout_that_cannot_be_used_is_refused(asking: Asking) -> None:
    """P2P-Timeout-Ms takes whole milliseconds."""
    status, body = await asking.post(png(3, 1), **{"P2P-Timeout-Ms": "soon"})
    assert (status, "milliseconds" in body["error"]) == (400, True)


async def test_a_client_that_hangs_up_leaves_the_queue(asking: Asking, hold: Callable[[], None]) -> None:
    """An image whose client is gone costs no prediction."""
    first = asyncio.create_task(asking.post(HELD))
    batcher = asking.worker.store.current.batcher
    await until(lambda: batcher.running == 1)
    gone = asyncio.create_task(asking.post(png(30, 10)))
    await until(lambda: batcher.depth == 1)
    gone.cancel()

    async def noticed() -> bool:
        hold()
        return 'p2p_worker_rejected_total{model="echo",reason="gone"} 1.0' in (await asking.get("/metrics"))[1]

    await asyncio.gather(gone, return_exceptions=True)
    await until(lambda: batcher.depth == 0)  # the closed connection has been seen
    await until(noticed)
    assert (await first)[0] == 200


async def test_a_crowded_worker_warns_and_refuses(shared_consul: ConsulProcess, hold: Callable[[], None]) -> None:
    """With its queue full a worker answers 503 with Retry-After, and 429 to Consul's check: a warning."""
    async with worker_on(shared_consul, queue_most=2) as worker, aiohttp.ClientSession() as http:
        asking = Asking(worker, http)
        tasks = [asyncio.create_task(asking.post(HELD))]
        await until(lambda: worker.store.current.batcher.running == 1)
        tasks += [asyncio.create_task(asking.post(png(30, 10))) for _ in range(2)]
        await until(lambda: worker.store.current.batcher.depth == 2)
        assert (await asking.get("/healthz"))[0] == 429
        async with http.post(asking.url, data=png(3, 1)) as refused:
            assert (refused.status, refused.headers["Retry-After"].isdigit()) == (503, True)
        catalog = Catalog(ConsulSettings(url=shared_consul.url))

        async def warned() -> bool:
            found = (await catalog.health("echo")).instances
            return [i.health for i in found if i.id == worker.instance.id] == [Health.WARNING]

        await until(warned)
        await catalog.close()
        hold()
        assert [(await task)[0] for task in tasks] == [200, 200, 200]
        assert (await asking.get("/healthz"))[0] == 200


async def test_leaving_answers_what_is_in_flight(shared_consul: ConsulProcess, hold: Callable[[], None]) -> None:
    """A request in flight when the worker is told to leave is answered, and its connection closed."""
    async with aiohttp.ClientSession() as http:
        async with worker_on(shared_consul) as worker:
            asking = Asking(worker, http)
            request = asyncio.create_task(http.post(asking.url, data=HELD))
            await until(lambda: worker.store.current.batcher.running == 1)
            asyncio.get_running_loop().call_later(0.5, hold)
        answer = await request
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.post(asking.url, data=HELD)


async def test_a_taken_port_is_refused_with_the_cure(shared_consul: ConsulProcess, asking: Asking) -> None:
    """A port that is in use is an error that names it and the flag."""
    from registry.runtime.errors import SettingsError

    port = asking.worker.instance.port
    with pytest.raises(SettingsError, match=f"{port}.*--port"):
        async with worker_on(shared_consul, port=port):
            pass


async def test_a_signal_while_loading_ends_the_worker_at_once(
    shared_consul: ConsulProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that is asked to end before its model is loaded does not load it first, and never registers."""
    loading, stop = asyncio.Event(), asyncio.Event()

    async def hangs(_: object) -> None:
        loading.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("worker.repository.model_versions.ModelVersions.load", hangs)
    settings = WorkerSettings(
        backend=ConsulSettings(url=shared_consul.url), source=ModelSource(engine="echo"), service="never-there"
    )
    serving = asyncio.create_task(serve(settings, stop))
    await loading.wait()
    stop.set()
    with caplog.at_level("INFO"):
        await asyncio.wait_for(serving, 5)
    assert "A signal came before the worker was ready." in caplog.text
