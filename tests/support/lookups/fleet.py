"""A small fleet for the client's tests: lookup services and workers that answer as docs/reference/http-api.md says.

They run on an event loop in a thread of their own, so that asynchronous tests, blocking ones and child
processes meet the same servers. What a worker does with a request is a function that a test may replace.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.lookups.fake_registry import FakeRegistry
from tests.support.workers import fake_worker
from tests.support.workers.fake_worker import Behaviour, FakeWorker, sentence


class WorkerProcess:
    """A worker that can be killed or stopped as only a process can."""

    boot = ""
    health = "passing"
    unreachable = ""

    def __init__(self, takes_s: float) -> None:
        program = Path(__file__).parents[1] / "workers" / "worker_process.py"
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

    jpeg = fake_worker.JPEG
    labels = fake_worker.LABELS
    sentence = staticmethod(sentence)
    hang = staticmethod(fake_worker.hang)
    answer = staticmethod(fake_worker.answer)
    reset = staticmethod(fake_worker.reset)
    reset_mid_response = staticmethod(fake_worker.reset_mid_response)
    hang_up_on_kept_connections = staticmethod(fake_worker.hang_up_on_kept_connections)
    too_large = staticmethod(fake_worker.too_large)
    until_closed = staticmethod(fake_worker.until_closed)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.lookups: list[FakeRegistry] = []
        self.lookup = self.another_lookup()
        self.started: list[FakeWorker | WorkerProcess] = []

    @property
    def url(self) -> str:
        return self.lookup.url

    def another_lookup(self) -> FakeRegistry:
        """Start one more lookup service, which knows nobody."""
        lookup = FakeRegistry(self._loop)
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


@contextmanager
def running_fleet() -> Iterator[Fleet]:
    """A fleet without workers yet, and its loop; both are ended."""
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
