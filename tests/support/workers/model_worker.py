"""A worker in this process that serves models of the test's own, and requests to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from registry.consul.settings import ConsulSettings
from tests.support.workers.echo_worker import EchoWorker
from worker.artifacts.source import ModelSource
from worker.server.serve import running
from worker.settings import Served, WorkerSettings


@asynccontextmanager
async def model_worker(
    consul_url: str, models: Mapping[str, Path], *, cache: Path, allow_unsafe: bool = False, **changes: Any
) -> AsyncIterator[EchoWorker]:
    """A worker that serves each of `models` under its name; the first has the port that is asked."""
    (first, *others) = (
        Served(name, ModelSource(path=path, cache=cache, allow_unsafe=allow_unsafe)) for name, path in models.items()
    )
    settings = WorkerSettings(
        ConsulSettings(url=consul_url), first.source, service=first.name, more=tuple(others), drain_s=0.0, **changes
    )
    async with running(settings) as worker, aiohttp.ClientSession(auto_decompress=False) as http:
        yield EchoWorker(worker, http)
