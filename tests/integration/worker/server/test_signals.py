"""SIGTERM, SIGKILL and SIGSTOP while requests are in every stage: what their clients see, and how the worker ends."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from registry.runtime.processes.parent_death import die_with_parent
from tests.support.command_process import free_port
from tests.support.consul_process import ConsulProcess
from tests.support.photos import encode
from tests.support.waiting import until
from tests.support.workers.slow_worker import DECODES_SLOWLY, NEVER_ENDS, PREDICTS_SLOWLY

ROOT = Path(__file__).parents[4]
PROGRAM = ROOT / "tests" / "support" / "workers" / "slow_worker.py"


def post(width: int) -> bytes:
    """A whole request with an image of so many pixels' width."""
    from PIL import Image

    body = encode(Image.new("RGB", (width, 3)), "PNG")
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@dataclass
class Client:
    """One connection, and the answer that comes on it: b'' when it is closed without one."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> bytes:
        try:
            async with asyncio.timeout(15):
                head = await self.reader.readuntil(b"\r\n\r\n")
                return head + await self.reader.readline()
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def closed(self) -> bool:
        try:
            async with asyncio.timeout(15):
                return await self.reader.read() == b""
        except ConnectionError:
            return True


@dataclass
class Worker:
    """A worker's process and its clients, one in each stage."""

    process: asyncio.subprocess.Process
    port: int
    lines: list[str] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def client(self, message: bytes) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.writers.append(client.writer)
        client.writer.write(message)
        return client

    async def in_every_stage(self, *, predicting: int = PREDICTS_SLOWLY) -> dict[str, Client]:
        """One client in each stage: its request half sent, decoding, predicting, queued behind that, answered."""
        answered = await self.client(post(20))
        assert b"200 OK" in await answered.answer()
        message = post(30)
        clients = {"answered": answered, "receiving": await self.client(message[:-20])}
        clients["predicting"] = await self.client(post(predicting))
        await self.said(f"predicting {predicting}")
        clients["decoding"] = await self.client(post(DECODES_SLOWLY))
        await self.said(f"decoding {DECODES_SLOWLY}")
        clients["queued"] = await self.client(post(31))
        await self.said("decoded 31")
        return clients

    async def said(self, line: str) -> None:
        await until(lambda: line in self.lines)

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip())

    async def gone(self) -> bool:
        """Whether it takes no connections any more."""
        try:
            await self.client(b"")
        except ConnectionError:
            return True
        return False

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@asynccontextmanager
async def worker(consul: ConsulProcess, *, finish_s: float = 10) -> AsyncIterator[Worker]:
    port = free_port()
    arguments = [sys.executable, str(PROGRAM), consul.url, str(port), str(finish_s)]
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )
    started = Worker(process, port)
    reading = asyncio.create_task(started.read())
    try:
        await until(lambda: any(" on http://" in line for line in started.lines), within_s=30)
        yield started
    finally:
        for writer in started.writers:
            writer.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def test_sigterm_answers_every_stage_and_ends(shared_consul: ConsulProcess) -> None:
    """Told to end, the worker answers whoever is in any stage, closes their connections and exits with 0."""
    async with worker(shared_consul) as running:
        clients = await running.in_every_stage()
        running.send(signal.SIGTERM)
        await until(running.gone)
        clients["receiving"].writer.write(post(30)[-20:])
        assert await clients.pop("answered").closed()
        for stage, client in clients.items():
            answer = await client.answer()
            assert b"200 OK" in answer, (stage, answer)
            assert await client.closed(), stage
        assert await asyncio.wait_for(running.process.wait(), 10) == 0


async def test_sigterm_ends_a_worker_that_cannot_finish(shared_consul: ConsulProcess) -> None:
    """A body that never comes and a prediction that never ends keep a worker no longer than its time to finish."""
    async with worker(shared_consul, finish_s=0.5) as running:
        clients = await running.in_every_stage(predicting=NEVER_ENDS)
        began_s = time.monotonic()
        running.send(signal.SIGTERM)
        for stage, client in clients.items():
            assert await client.closed(), stage
        assert await asyncio.wait_for(running.process.wait(), 10) == 0
        # The drain grace; the time to finish for bodies, for requests, and once cancelled; the clock for threads; and
        # what a busy machine needs, which is less than the 30 s that a worker has by default.
        assert time.monotonic() - began_s < 0.3 + 3 * 0.5 + 1 + 10


async def test_sigkill_closes_every_connection(shared_consul: ConsulProcess) -> None:
    """Killed, the worker takes all its connections along at once: no client waits for its timeout."""
    async with worker(shared_consul) as running:
        clients = await running.in_every_stage(predicting=NEVER_ENDS)
        running.send(signal.SIGKILL)
        async with asyncio.timeout(10):
            for client in clients.values():
                assert await client.closed()


async def test_a_stopped_worker_answers_when_it_goes_on(shared_consul: ConsulProcess) -> None:
    """Stopped in every stage, the worker says nothing; continued, it answers all of them, each with its own."""
    async with worker(shared_consul) as running:
        clients = await running.in_every_stage()
        running.send(signal.SIGSTOP)
        waiting = {stage: asyncio.create_task(c.answer()) for stage, c in clients.items() if stage != "answered"}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wait(waiting.values(), return_when="FIRST_COMPLETED"), 1.2)
        clients["receiving"].writer.write(post(30)[-20:])
        running.send(signal.SIGCONT)
        widths = {"receiving": 30, "predicting": PREDICTS_SLOWLY, "decoding": DECODES_SLOWLY, "queued": 31}
        for stage, answer in waiting.items():
            shares = dict(json.loads((await answer).partition(b"\r\n\r\n")[2]))
            assert shares["width"] == pytest.approx(widths[stage] / (widths[stage] + 3), abs=1e-5), stage
