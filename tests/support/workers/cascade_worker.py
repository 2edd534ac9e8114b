"""A worker that serves a cascade, whose services are found in Consul, and requests to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from registry.consul.settings import ConsulSettings
from tests.support.consul_process import ConsulProcess
from tests.support.workers.echo_worker import EchoWorker
from worker.artifacts.source import ModelSource
from worker.server.serve import running
from worker.settings import CascadeSource, WorkerSettings


@asynccontextmanager
async def cascade_worker(
    consul: ConsulProcess, folder: Path, text: str, *, service: str = "pets", **changes: Any
) -> AsyncIterator[EchoWorker]:
    """A worker that serves the cascade of this text, which is written into the folder; its models are `echo`."""
    file = folder / f"{service}.toml"
    await asyncio.to_thread(file.write_text, text)
    source = CascadeSource(file, consul.url.replace("http://", "consul://"))
    settings = WorkerSettings(
        ConsulSettings(url=consul.url),
        service=service,
        cascade=source,
        **{"source": ModelSource(engine="echo"), "drain_s": 0.0} | changes,
    )
    async with running(settings) as worker, aiohttp.ClientSession(auto_decompress=False) as http:
        yield EchoWorker(worker, http)
