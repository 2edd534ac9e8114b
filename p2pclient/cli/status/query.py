"""`p2p status` asks the lookup service for services, workers and reasons, and each worker for its model and load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from yarl import URL

from p2pclient.cli.status.model import ServiceStatus, WorkerStatus, load_of, model_of
from p2pclient.cli.status.summary import NO_SUMMARY, ServiceSummary, summary_of
from p2pclient.cli.terminal_output.terminal import clear_screen, write
from p2pclient.discovery.operator_pages import OperatorPages
from p2pclient.errors import AuthenticationError, P2PError, UnknownService
from p2pclient.failures import Failure, outcome_of
from p2pclient.messages import Answer, bearer
from p2pclient.transport.base import ExchangeFailed, Transport
from p2pclient.types import Service, Worker

if TYPE_CHECKING:
    from p2pclient.async_client import AsyncClient

WORKER_TIMEOUT_S = 1.0
REACHABILITY_TIMEOUT_S = 5.0
"""For the lookup service, which itself connects to all workers."""

SUMMARY_TIMEOUT_S = 5.0

_AT_A_TIME = 64


@dataclass(frozen=True, kw_only=True)
class WorkerRequests:
    """How workers are asked: the connections, and the headers (a bearer token).

    `scheme`, http or https, overrides what each worker is registered with; None: it does not.
    """

    transport: Transport
    scheme: str | None
    headers: Mapping[str, str]


async def show_status(
    client: AsyncClient,
    requests: WorkerRequests,
    pages: OperatorPages | None,
    *,
    form: Callable[[list[ServiceStatus]], str],
    every_s: float | None,
) -> None:
    """Write the state of all services once or, with `every_s`, again and again; on a terminal in the same place.

    `pages` are the lookup service's for operators; None where Consul is asked in its place.

    Raises a P2PError if the first request fails; later ones are written as a line, and tried again.
    """
    before: list[ServiceStatus] = []
    async with client:
        try:
            while True:
                began_s = time.monotonic()
                try:
                    before = await fetch_statuses(client, requests, pages, before=before)
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
            await requests.transport.close()


async def fetch_statuses(
    client: AsyncClient, requests: WorkerRequests, pages: OperatorPages | None, *, before: Iterable[ServiceStatus]
) -> list[ServiceStatus]:
    """The state of all services now; rates are since `before`. Raises LookupUnavailable, ProtocolError."""
    services, summaries = await asyncio.gather(client.services(), _summaries(pages))
    known = {(state.name, worker.worker): worker for state in before for worker in state.workers}
    free = asyncio.Semaphore(_AT_A_TIME)

    async def of_worker(service: str, worker: Worker) -> WorkerStatus:
        async with free:
            ticket = await _ticket(client, worker)
            return await _worker_status(requests, worker, known.get((service, worker)), ticket)

    async def of_service(service: Service) -> ServiceStatus:
        try:
            snapshot = await client.workers(service.name)
        except UnknownService:  # it has gone since
            return ServiceStatus(service.name, 0.0, ())
        workers = sorted(snapshot, key=lambda worker: worker.id)
        unreachable, statuses = await asyncio.gather(
            _unreachable(client, service.name),
            asyncio.gather(*(of_worker(service.name, worker) for worker in workers)),
        )
        statuses = [replace(status, unreachable=unreachable.get(status.worker.id, "")) for status in statuses]
        summary = summaries(service.name)
        state = ServiceStatus(service.name, snapshot.age_s, tuple(statuses), snapshot.panic, snapshot.unusable, summary)
        return replace(state, rollout=snapshot.rollout)

    return list(await asyncio.gather(*map(of_service, sorted(services, key=lambda service: service.name))))


async def _summaries(pages: OperatorPages | None) -> Callable[[str], ServiceSummary]:
    """What the lookup service says of each service, or that it does not tell this token; an older one says none."""
    if pages is None:
        return lambda _: NO_SUMMARY
    found = await outcome_of(pages.summary(limit_s=SUMMARY_TIMEOUT_S))
    if isinstance(found, Failure):
        denied = isinstance(found.error, AuthenticationError)
        none = ServiceSummary(notes=(f"token without rights: {found.error}",)) if denied else NO_SUMMARY
        return lambda _: none
    return lambda name: summary_of(found.get(name))


async def _ticket(client: AsyncClient, worker: Worker) -> Mapping[str, str]:
    """The headers with a ticket for the worker, where it wants one and there is one."""
    if worker.auth != "ticket":
        return {}
    ticket = await outcome_of(client._core.source.ticket(worker, WORKER_TIMEOUT_S))
    return {} if isinstance(ticket, Failure) else bearer(ticket)


async def _unreachable(client: AsyncClient, service: str) -> Mapping[str, str]:
    """What the lookup service cannot connect to; nothing where it does not say."""
    found = await outcome_of(client._core.source.unreachable(service, limit_s=REACHABILITY_TIMEOUT_S))
    return {} if isinstance(found, Failure) else found


async def _worker_status(
    requests: WorkerRequests, worker: Worker, before: WorkerStatus | None, ticket: Mapping[str, str]
) -> WorkerStatus:
    """What a worker's own pages say; the fields stay empty for one that does not answer, or is another server."""
    try:
        # A ticket is for predictions and for the description of models; metrics are for operators, who have tokens.
        ready, metrics = await asyncio.gather(
            _get(requests, worker, "/readyz", ticket), _get(requests, worker, "/metrics", {})
        )
    except ExchangeFailed as broken:
        return WorkerStatus(worker, error=str(broken))
    model = model_of(ready.body) if ready.status in (200, 503) else None
    name = model.name if model else None
    return WorkerStatus(
        worker,
        model=model,
        load=load_of(metrics.body, model=name, now_s=time.monotonic()) if metrics.status == 200 else None,
        before=before.load if before else None,
        denied=_denied(metrics, with_token=bool(requests.headers)),
    )


def _denied(metrics: Answer, *, with_token: bool) -> str:
    """Why a worker does not tell its load; "" where it does, or gives another reason than who asks."""
    if metrics.status not in (401, 403):
        return ""
    return f"{'token without rights' if with_token else 'no token'}: {metrics.sentence()}"


async def _get(requests: WorkerRequests, worker: Worker, path: str, ticket: Mapping[str, str]) -> Answer:
    url = URL(f"{requests.scheme or worker.scheme}://{worker.address}{path}")
    token = {} if worker.auth == "none" else requests.headers  # else a stranger's registration would collect it
    return await requests.transport.exchange("GET", url, headers={**token, **ticket}, timeout_s=WORKER_TIMEOUT_S)


def _show(text: str, *, anew: bool) -> None:
    """Write whole lines; `anew` on a terminal: on a cleared screen."""
    if anew:
        clear_screen()
    write(text)
