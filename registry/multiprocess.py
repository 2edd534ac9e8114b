"""Several lookup processes behind one port: the kernel deals connections out, a process that dies is replaced.

Each is an ordinary lookup process with a follower of its own. This one only watches: it holds the port, so that
nobody else can take it while a process is being replaced, and accepts nothing itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Sequence

from registry.runtime.listen import port_of, reserve
from registry.runtime.parent_death import die_with_parent

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0
SHORT_LIFE_S = 2.0
"""A process that lived no longer than this would die again at once: its successor waits as long."""


async def keep_running(command: Sequence[str], *, host: str, port: int, count: int, stop: asyncio.Event) -> None:
    """Run `count` processes of `command` (with `--port` and the port appended) until `stop` is set.

    Raises SettingsError where the port cannot be had.
    """
    with reserve(host, port) as held:
        whole = [*command, "--port", str(port_of(held))]
        logger.info("%d lookup processes share port %d.", count, port_of(held))
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(_keep_one(whole, stop))


async def _keep_one(command: Sequence[str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        started_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command, start_new_session=True, preexec_fn=die_with_parent(signal.SIGTERM)
        )
        if await _ended(process, stop):
            logger.error("Lookup process %d ended with %s: replacing it.", process.pid, process.returncode)
            if time.monotonic() - started_s < SHORT_LIFE_S:
                await _pause(stop)


async def _ended(process: asyncio.subprocess.Process, stop: asyncio.Event) -> bool:
    """Wait for the process; True if it ended by itself, False if it was stopped because `stop` was set."""
    waiting = asyncio.create_task(process.wait())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done() and not stop.is_set():
            return True
        await _stop(process, waiting)
        return False
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)


async def _stop(process: asyncio.subprocess.Process, waiting: asyncio.Task[int]) -> None:
    if process.returncode is None:
        os.kill(process.pid, signal.SIGTERM)
    done, _ = await asyncio.wait((waiting,), timeout=PATIENCE_S)
    if not done:
        process.kill()
        await waiting


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(SHORT_LIFE_S):
            await stop.wait()
    except TimeoutError:
        return
