"""A small fleet for the client's tests: real HTTP servers that answer as the contract of DESIGN.md says.

They run on an event loop in a thread of their own, so that asynchronous tests, blocking ones and child
processes meet the same servers. What a worker does with a request is a function that a test may replace.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web

from tests.support.waiting import all_let_in

T = TypeVar("T")
Behaviour = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]
KEPT = web.RequestKey("kept", bool)  # whether the connection has carried a request before
JPEG = b"\xff\xd8\xff\xe0 as good as a photograph to a worker that does not look"
LABELS = [["tabby", 0.61], ["tiger cat", 0.3], ["lynx", 0.05], ["Egyptian cat", 0.02], ["cougar", 0.01]]


def sentence(status: int, text: str, **headers: str) -> web.Response:
    """An error as a worker words it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"error": text}, status=status, headers=named)


async def answer(request: web.Request, _body: bytes) -> web.StreamResponse:
    """What a healthy worker does."""
    return web.json_response(LABELS[: int(request.query["top"])])


async def hang(_request: web.Request, _body: bytes) -> web.StreamResponse:
    """What a stopped process does: the connection stands, nothing comes."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def reset(request: web.Request, _body: bytes) -> web.StreamResponse:
    """What a killed process does to a request under way: the connection is reset."""
    transport = request.transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    return web.Response()


async def reset_mid_response(request: web.Request, body: bytes) -> web.StreamResponse:
    """Half an answer, then a reset."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'[["tab')
    await reset(request, body)
    return response


async def hang_up_on_kept_connections(request: web.Request, body: bytes) -> web.StreamResponse:
    """What a server does whose idle limit has just passed: a connection used before is closed unread."""
    if request[KEPT]:
        request.transport.close()
        return web.Response()
    return await answer(request, body)


async def until_closed(request: web.Request) -> None:
    """Wait for the client to close the connection."""
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Seen:
    """One request as a worker saw it."""

    headers: dict[str, str]
    query: dict[str, str]
    body: bytes
    connection: tuple[str, int]


class Server:
    """An aiohttp application on 127.0.0.1 that can go away and come back on the same port."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._runner: web.AppRunner | None = None
        self.tls: ssl.SSLContext | None = None
        self.host = "127.0.0.1"
        self.port = 0

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def start(self) -> None:
        self.wait(self._start())

    def stop(self) -> None:
        """Close the port and every connection, as the end of a process does."""
        self.wait(self._stop())

    async def _start(self) -> None:
        app = web.Application(client_max_size=0)  # no limit
        app.router.add_route("*", "/{path:.*}", self.handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, handle_signals=False, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, reuse_address=True, ssl_context=self.tls)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await all_let_in()
            await self._runner.cleanup()
            self._runner = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError


class FakeWorker(Server):
    """A worker. `behave` is what it does with a request.

    `seen` holds the requests it has had; `answered` says how many it has done with.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        super().__init__(loop)
        self.id = name
        self.boot = f"boot-{name}"
        self.health = "passing"
        self.behave: Behaviour = answer
        self.seen: list[Seen] = []
        self.answered = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        connection = request.transport.get_extra_info("peername")
        request[KEPT] = any(seen.connection == connection for seen in self.seen)
        body = await request.read() if self.behave is not too_large else b""
        self.seen.append(Seen(dict(request.headers), dict(request.query), body, connection))
        if request.headers.get("P2P-Boot", self.boot) != self.boot:
            return sentence(421, "not the worker you looked up: look up again")
        response = await self.behave(request, body)
        self.answered += 1
        return response


async def too_large(_request: web.Request, _body: bytes) -> web.StreamResponse:
    """A refusal before the body was read."""
    return sentence(413, "the image is larger than 32 MB: send a smaller one or start with --max-bytes")


class FakeLookup(Server):
    """The lookup service: hands `workers` out in rotation, whether they live or not.

    `asked` are the requests for one worker or several, `watched` those for the whole list, which wait for a
    change as the contract says.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._workers: list[FakeWorker | WorkerProcess] = []
        self._revision = 1
        self._changed = asyncio.Event()
        self.asked: list[str] = []
        self.watched: list[str] = []
        self.authorizations: set[str | None] = set()
        self.replace: Behaviour | None = None
        self._turn = itertools.count()

    @property
    def workers(self) -> list[FakeWorker | WorkerProcess]:
        return self._workers

    @workers.setter
    def workers(self, workers: list[FakeWorker | WorkerProcess]) -> None:
        self._workers = workers
        self.wait(self._change())

    async def _change(self) -> None:
        self._revision += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.authorizations.add(request.headers.get("Authorization"))
        watch = request.path.startswith("/instances/")
        (self.watched if watch else self.asked).append(str(request.rel_url))
        if self.replace is not None:
            return await self.replace(request, b"")
        if request.path == "/instances/classify":
            return await self._list(request)
        if request.path == "/services":
            return web.json_response([{"name": "classify", "instances": 2, "serving": 1, "versions": ["1"]}])
        if request.path not in ("/next", "/next/classify"):
            return web.Response(status=404, text="no service of that name; there are: classify, echo\n")
        if not self.workers:
            return web.Response(status=503, headers={"Retry-After": "1"}, text="no healthy worker: start one\n")
        first = next(self._turn)
        order = [self.workers[(first + i) % len(self.workers)] for i in range(len(self.workers))]
        found = [self._shown(worker) for worker in order]
        count = request.query.get("count")
        return web.json_response(found[0] if count is None else found[: int(count)])

    async def _list(self, request: web.Request) -> web.Response:
        if request.query.get("index") == str(self._revision):
            await asyncio.wait_for(self._changed.wait(), 60)
        shown = [self._shown(w) | {"health": w.health, "weight": 1} for w in self._workers]
        return web.json_response({"service": "classify", "index": self._revision, "instances": shown})

    @staticmethod
    def _shown(worker: FakeWorker | WorkerProcess) -> dict[str, Any]:
        return {
            "service": "classify",
            "id": worker.id,
            "host": "127.0.0.1",
            "port": worker.port,
            "address": worker.address,
            "version": "1",
            "boot": worker.boot,
        }


class WorkerProcess:
    """A worker that can be killed or stopped as only a process can."""

    boot = ""
    health = "passing"

    def __init__(self, takes_s: float) -> None:
        program = Path(__file__).parents[2] / "support" / "worker_process.py"
        self.process = subprocess.Popen([sys.executable, str(program), str(takes_s)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.id = str(self.process.pid)
        self.address = f"127.0.0.1:{self.port}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Fleet:
    """One lookup service and as many workers as a test wants."""

    jpeg = JPEG
    labels = LABELS
    sentence = staticmethod(sentence)
    hang = staticmethod(hang)
    answer = staticmethod(answer)
    reset = staticmethod(reset)
    reset_mid_response = staticmethod(reset_mid_response)
    hang_up_on_kept_connections = staticmethod(hang_up_on_kept_connections)
    too_large = staticmethod(too_large)
    until_closed = staticmethod(until_closed)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.lookups: list[FakeLookup] = []
        self.lookup = self.another_lookup()
        self.started: list[FakeWorker | WorkerProcess] = []

    @property
    def url(self) -> str:
        return self.lookup.url

    def another_lookup(self) -> FakeLookup:
        """Start one more lookup service, which knows nobody."""
        lookup = FakeLookup(self._loop)
        lookup.start()
        self.lookups.append(lookup)
        return lookup

    def add(self, count: int = 1) -> list[FakeWorker]:
        """Start workers and register them."""
        workers = [FakeWorker(self._loop, f"w{len(self.started) + i}") for i in range(count)]
        for worker in workers:
            worker.start()
        self.started += workers
        self.lookup.workers = self.lookup.workers + workers
        return workers

    def add_processes(self, count: int, *, takes_s: float) -> list[WorkerProcess]:
        """Start workers as processes, each request taking so many seconds, and register them."""
        workers = [WorkerProcess(takes_s) for _ in range(count)]
        self.started += workers
        self.lookup.workers = self.lookup.workers + workers
        return workers

    def answers(self, status: int, text: str, **headers: str) -> Behaviour:
        """The behaviour of always answering so."""

        async def behave(*_: Any) -> web.StreamResponse:
            return sentence(status, text, **headers)

        return behave

    def says(self, text: str, *, status: int = 200, kind: str = "text/plain") -> Behaviour:
        """The behaviour of a program that is none of ours."""

        async def behave(*_: Any) -> web.StreamResponse:
            return web.Response(text=text, status=status, content_type=kind)

        return behave

    @staticmethod
    def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
        """Wait for a condition, from a thread that runs no event loop."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.005)

    def stop(self) -> None:
        for server in (*self.lookups, *self.started):
            server.stop()


async def end_tasks() -> None:
    """Cancel what still hangs."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fleet", daemon=True)
    thread.start()
    fleet = Fleet(loop)
    try:
        yield fleet
    finally:
        fleet.stop()
        asyncio.run_coroutine_threadsafe(end_tasks(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def p2p(fleet, tmp_path):
    """Runs a command in `tmp_path` with the fleet's lookup service; further keywords go to Popen."""

    def start(*arguments, **options):
        environment = {"PATH": os.environ["PATH"], "P2P_REGISTRY": fleet.url, "PYTHONWARNINGS": "error"}
        return subprocess.Popen(
            [sys.executable, "-m", "p2pclient", *map(str, arguments)],
            cwd=tmp_path,
            env=environment | options.pop("env", {}),
            text=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
        )

    def run(*arguments, input=None, **options):
        if input is not None:
            options["stdin"] = subprocess.PIPE
        process = start(*arguments, **options)
        out, err = process.communicate(input, timeout=30)
        return process.returncode, out, err

    run.start = start
    return run


@pytest.fixture
def photos(fleet, tmp_path):
    """A folder `photos` with images in it and below it, and files that are none."""
    for name in ("photos/b.JPG", "photos/a.png", "photos/deep/c.webp", "photos/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(fleet.jpeg)
    return ["photos/a.png", "photos/b.JPG", "photos/deep/c.webp"]
