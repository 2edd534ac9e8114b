"""What the check of event loops sees: callbacks that compute, on either kind of loop, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.event_loops.slow_callbacks import MeasuredUvloop, slow_callbacks

ROOT = Path(__file__).parents[3]
ABOVE_S = 0.005

loops = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, MeasuredUvloop])


def compute() -> None:
    """Take twice as much processor time as is allowed."""
    end_s = time.thread_time() + 2 * ABOVE_S
    while time.thread_time() < end_s:
        pass


class Computing(asyncio.Protocol):
    """Computes when data arrives, and closes the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        compute()
        self.transport.close()


async def _compute_when_data_arrives() -> None:
    server = await asyncio.get_running_loop().create_server(Computing, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"data")
        await reader.read()
        writer.close()


async def _compute_in_a_task() -> None:
    async def task() -> None:
        await asyncio.sleep(0)
        compute()

    await asyncio.create_task(task())


async def _compute_in_a_timer() -> None:
    asyncio.get_running_loop().call_later(0, compute)
    await asyncio.sleep(0.001)


async def _compute_when_called_from_a_thread() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(loop.call_soon_threadsafe, compute)
    await asyncio.sleep(0)


@loops
@pytest.mark.parametrize(
    "what",
    [_compute_when_data_arrives, _compute_in_a_task, _compute_in_a_timer, _compute_when_called_from_a_thread],
    ids=lambda what: what.__name__.strip("_"),
)
def test_a_callback_that_computes_is_found(
    new_loop: Callable[[], asyncio.AbstractEventLoop], what: Callable[[], object]
) -> None:
    """A task's step, a timer, what a thread asks for, and data that arrives: each is found once."""
    with slow_callbacks(ABOVE_S) as found, asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(what())
    assert len(found) == 1


@loops
def test_collecting_garbage_is_found_only_if_asked_for(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A callback that waits, as for a busy processor, does not compute; one that collects garbage may be said to."""

    kept = [[] for _ in range(300_000)]

    async def wait_and_collect() -> None:
        time.sleep(3 * ABOVE_S)
        before_s = time.thread_time()
        gc.collect()
        assert time.thread_time() - before_s > ABOVE_S

    with asyncio.Runner(loop_factory=new_loop) as runner, slow_callbacks(ABOVE_S, collections=False) as found:
        runner.run(wait_and_collect())
        assert found == []
        with slow_callbacks(ABOVE_S) as collecting:
            runner.run(wait_and_collect())
        assert len(collecting) == 1
    assert len(kept) == 300_000


CHECKED = """
import time
import pytest

def compute():
    end_s = time.thread_time() + 0.08
    while time.thread_time() < end_s:
        pass

async def test_computes():
    compute()

@pytest.mark.long_callbacks(reason="it is told to")
async def test_computes_with_a_reason():
    compute()

async def test_waits():
    time.sleep(0.08)
"""


def test_a_test_whose_callback_computes_fails(tmp_path: Path) -> None:
    """The plugin fails the test in which it happened, unless the test says why it may."""
    (tmp_path / "test_three.py").write_text(CHECKED)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.support.event_loops.callback_check",
        "-p",
        "no:cacheprovider",
        tmp_path,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert "1 failed, 2 passed" in done.stdout
    assert "callbacks held an event loop for more than 40 ms" in done.stdout
