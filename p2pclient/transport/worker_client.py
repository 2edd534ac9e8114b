"""Step two of a call: a request goes straight to the worker, and its answer, or how the attempt failed, comes back.

    POST PATH       P2P-Boot: the process that is meant; P2P-Timeout-Ms: time left to the caller's deadline;
                    X-Request-Id: the id of the call
    errors          {"error": "sentence"}
400, 413 and 415 say that what was sent is at fault, 401 and 403 that the token is. Every other error speaks of this
worker alone (421, 429, 5xx, 401 to a ticket that was just signed, or another program on its port), and another worker
may do better: prediction is pure, so that a POST may be sent again.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from yarl import URL

from p2pclient.errors import AuthenticationError, BadInput, DeadlineExceeded, P2PError, ProtocolError, WorkerFailed
from p2pclient.failures import Failure, Trouble
from p2pclient.messages import MALFORMED, Answer, Request, bearer, unlike
from p2pclient.transport.base import ExchangeFailed, Transport
from p2pclient.transport.request_id import request_id_header
from p2pclient.types import Worker, host_port

T = TypeVar("T")

_TOO_LARGE = 413


class Tickets(Protocol):
    """Where the tickets come from for workers that want one."""

    async def ticket(self, worker: Worker, limit_s: float) -> str:
        """A ticket for this worker, within `limit_s`. Raises Failure."""
        ...

    def refused(self, worker: Worker, ticket: str) -> bool:
        """The worker does not accept this ticket; whether another one may do better."""
        ...


class WorkerClient:
    """Posts to workers over `transport`, with the bearer token or a ticket where their registration asks for one.

    No other worker sees the token, so that a stranger's registration does not collect it.
    `scheme`, http or https, overrides what each worker is registered with; None: it does not.
    """

    def __init__(self, transport: Transport, *, scheme: str | None, token: str | None, tickets: Tickets) -> None:
        self._transport = transport
        self._scheme = scheme
        self._token = bearer(token)
        self._tickets = tickets

    async def post(self, worker: Worker, request: Request, read: Callable[[Answer], T], timeout_s: float) -> T:
        """What `read` makes of the worker's answer, which comes within `timeout_s`. Raises Failure."""
        try:
            if worker.auth == "ticket":
                answer = await self._sent_with_ticket(worker, request, timeout_s)
            else:
                proof = self._token if worker.auth == "token" else {}
                answer = await self._sent(worker, request, timeout_s, proof)
        except ExchangeFailed as failed:
            raise _no_answer(failed, worker.address) from failed
        if answer.status != 200:
            raise _refusal(answer, worker, request.faults)
        try:
            return await asyncio.to_thread(read, answer) if answer.large else read(answer)
        except MALFORMED as error:
            raise Failure(Trouble.FAILED, _not_a_worker(answer, worker.address)) from error

    async def _sent_with_ticket(self, worker: Worker, request: Request, timeout_s: float) -> Answer:
        """The answer to a request with a ticket; a worker that refuses the ticket (401) gets another one, once."""
        until_s = time.monotonic() + timeout_s
        ticket = await self._tickets.ticket(worker, timeout_s)
        answer = await self._sent(worker, request, until_s - time.monotonic(), bearer(ticket))
        if answer.status == 401 and self._tickets.refused(worker, ticket):
            ticket = await self._tickets.ticket(worker, until_s - time.monotonic())
            answer = await self._sent(worker, request, until_s - time.monotonic(), bearer(ticket))
        return answer

    async def _sent(self, worker: Worker, request: Request, timeout_s: float, proof: Mapping[str, str]) -> Answer:
        """The answer to a request with these headers that prove what the client may do.

        If a kept connection turns out to be stale, the request is sent once more. aiohttp does so by itself, but not
        for POST (RFC 9110, 9.2.2: only what is known to be safe is repeated).
        """
        began_s = time.monotonic()
        try:
            return await self._exchange(worker, request, timeout_s, proof)
        except ExchangeFailed as failed:
            if not failed.stale:
                raise
        return await self._exchange(worker, request, timeout_s - (time.monotonic() - began_s), proof)

    def _exchange(
        self, worker: Worker, request: Request, timeout_s: float, proof: Mapping[str, str]
    ) -> Coroutine[Any, Any, Answer]:
        headers = {
            **proof,
            **request.headers,
            **request_id_header(),
            "P2P-Timeout-Ms": str(max(1, int(timeout_s * 1000))),
        }
        if worker.boot:
            headers["P2P-Boot"] = worker.boot
        url = _url(self._scheme or worker.scheme, worker.host, worker.port, request.path)
        return self._transport.exchange("POST", url, headers=headers, body=request.body, timeout_s=timeout_s)


@functools.lru_cache(maxsize=1024)
def _url(scheme: str, host: str, port: int, path: str) -> URL:
    """Parsing a URL costs as much as everything else that the client does before it sends."""
    return URL(f"{scheme}://{host_port(host, port)}{path}", encoded=True)


def _no_answer(failed: ExchangeFailed, worker: str) -> Failure:
    if failed.silent_s is not None:
        late = f"worker {worker} gave {failed}: allow more time, or see whether it hangs or is overloaded"
        return Failure(Trouble.FAILED, DeadlineExceeded(late, worker=worker), silent_s=failed.silent_s)
    if failed.gone:
        lost = f"worker {worker} failed: {failed}; see whether it runs and can be reached from here"
        return Failure(Trouble.REFUSED if failed.unmet else Trouble.GONE, WorkerFailed(lost, worker=worker))
    odd = f"{worker} does not answer as a worker does: {failed}"
    return Failure(Trouble.FAILED, ProtocolError(odd, worker=worker))


def _refusal(answer: Answer, asked: Worker, faults: Mapping[int, type[BadInput]]) -> Failure:
    """What a status other than 200 means."""
    worker = asked.address
    status, ours = answer.status, answer.error() is not None
    # 413 means the same from whatever stands in the way; the others only in a worker's own form.
    if status in faults and (status == _TOO_LARGE or ours):
        return Failure(Trouble.FINAL, faults[status](answer.sentence(), status=status, worker=worker))
    if status in (401, 403):  # another program on the port may say so, too, but hardly in these forms
        sure = ours or "WWW-Authenticate" in answer.headers
        hint = "" if asked.auth == "ticket" else "; give a token that it accepts"
        denied = f"worker {worker} answered {status}: {answer.sentence()}{hint}"
        error = AuthenticationError(denied, status=status, worker=worker)
        # A ticket that was just signed is good, so that the worker is at fault: its clock is off, say.
        final = sure and not (status == 401 and asked.auth == "ticket")
        return Failure(Trouble.FINAL if final else Trouble.FAILED, error)
    if status in (408, 421, 429) or status >= 500:
        refused = WorkerFailed(f"worker {worker} answered {status}: {answer.sentence()}", status=status, worker=worker)
        trouble = Trouble.REFUSED if status == 421 else Trouble.FAILED
        return Failure(trouble, refused, retry_after_s=answer.retry_after_s)
    return Failure(Trouble.FAILED, _not_a_worker(answer, worker))


def _not_a_worker(answer: Answer, worker: str) -> P2PError:
    return unlike("a worker", answer, worker, hint="does another program use its port?", worker=worker)
