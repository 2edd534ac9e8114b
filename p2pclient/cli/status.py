"""What `p2p status` asks: the lookup service for services and workers, each worker for its model and its load."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yarl import URL

from p2pclient.cli.status_model import ServiceState, WorkerState, load_of, model_of
from p2pclient.cli.terminal import write
from p2pclient.errors import P2PError, UnknownService
from p2pclient.transport.http import Answer, Broken, Limit, Wire
from p2pclient.types import Service, Worker

if TYPE_CHECKING:
    from p2pclient.async_client import AsyncClient

WORKER_TIMEOUT_S = 1.0
_AT_A_TIME = 64


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How workers are asked: over which connections, by http or https, and with which headers (a bearer token)."""

    wire: Wire
    scheme: str
    headers: Mapping[str, str]


async def show_status(
    client: AsyncClient, asking: Asking, *, form: Callable[[list[ServiceState]], str], every_s: float | None
) -> None:
    """Write the state once or, with `every_s`, again and again, in place of the last one on a terminal.

    Raises a P2PError if it cannot be had the first time; later on that is written, and tried again.
    """
    before: list[ServiceState] = []
    async with client:
        try:
            while True:
                began_s = time.monotonic()
                try:
                    before = await look(client, asking, before=before)
                    text = form(before)
                except P2PError as error:
                    if every_s is None or not before:
                        raise
                    text = f"p2p status: {error}\n"
                _show(text, anew=every_s is not None)
                if every_s is None:
                    return
                await asyncio.sleep(max(0.0, began_s + every_s - time.monotonic()))
        finally:
            await asking.wire.close()


async def look(client: AsyncClient, asking: Asking, *, before: Iterable[ServiceState]) -> list[ServiceState]:
    """The state of all services now; rates are since `before`. Raises LookupUnavailable, ProtocolError."""
    services = await client.services()
    known = {(state.name, worker.worker): worker for state in before for worker in state.workers}
    free = asyncio.Semaphore(_AT_A_TIME)

    async def of_worker(service: str, worker: Worker) -> WorkerState:
        async with free:
            return await _worker_state(asking, worker, known.get((service, worker)))

    async def of_service(service: Service) -> ServiceState:
        try:
            instances = await client.instances(service.name)
        except UnknownService:  # it has gone since
            return ServiceState(service.name, 0.0, ())
        workers = sorted(instances.workers, key=lambda worker: worker.id)
        states = await asyncio.gather(*(of_worker(service.name, worker) for worker in workers))
        return ServiceState(service.name, instances.age_s, tuple(states))

    return list(await asyncio.gather(*map(of_service, sorted(services, key=lambda service: service.name))))


async def _worker_state(asking: Asking, worker: Worker, before: WorkerState | None) -> WorkerState:
    """What a worker says of itself; one that says nothing, or is not ours, keeps empty fields."""
    try:
        ready, metrics = await asyncio.gather(_get(asking, worker, "/readyz"), _get(asking, worker, "/metrics"))
    except Broken as broken:
        return WorkerState(worker, error=str(broken))
    return WorkerState(
        worker,
        model=model_of(ready.body) if ready.status in (200, 503) else None,
        load=load_of(metrics.body, now_s=time.monotonic()) if metrics.status == 200 else None,
        before=before.load if before else None,
    )


async def _get(asking: Asking, worker: Worker, path: str) -> Answer:
    url = URL(f"{asking.scheme}://{worker.address}{path}")
    return await asking.wire.exchange("GET", url, headers=asking.headers, limit=Limit(WORKER_TIMEOUT_S))


def _show(text: str, *, anew: bool) -> None:
    """Write whole lines; `anew` on a terminal: on a cleared screen."""
    if anew and sys.stdout.isatty():
        text = f"\x1b[H\x1b[2J{text}"
    write(text)
