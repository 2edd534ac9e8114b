"""`p2p up` as a function of the test's process, with the echo engine, which needs no framework."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local import up
from deploy.up_settings import UpSettings
from tests.support.command_process import free_port
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until


@asynccontextmanager
async def running_up(
    consul: ConsulProcess,
    environ: Mapping[str, str],
    *,
    workers: int = 1,
    ticket_keys: Path | None = None,
    tokens: Path | None = None,
) -> AsyncIterator[tuple[UpSettings, list[str], asyncio.Task[None]]]:
    """`p2p up`, ready; stopped at the end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("P2P_", "CONSUL_"))}
    settings = UpSettings(
        clean | environ,
        workers=workers,
        port=free_port(),
        consul=consul.url,
        ticket_keys=ticket_keys,
        tokens=tokens,
        model_flags=("--engine", "echo"),
    )
    stop, lines = asyncio.Event(), list[str]()
    task = asyncio.create_task(up(settings, stop, write_line=lines.append))
    try:
        await until(lambda: task.done() or "Ready" in "\n".join(lines), within_s=60)
        assert not task.done(), "\n".join(lines)
        yield settings, lines, task
    finally:
        stop.set()
        await asyncio.wait((task,), timeout=60)
