"""Step two of a call: bytes go straight to the worker, and an answer or the way in which it failed comes back.

    POST PATH       P2P-Boot: the process meant; P2P-Timeout-Ms: time left to the caller's deadline
    errors          {"error": "sentence"}
400, 413 and 415 are the fault of what was sent. Whatever else comes speaks of this worker alone (421, 429,
5xx, or a stranger that has taken over the port), and another one may do better: prediction is pure, so a
POST may be sent again.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from yarl import URL

from p2pclient.errors import BadImage, BadInput, DeadlineExceeded, ImageTooLarge, P2PError, ProtocolError, WorkerFailed
from p2pclient.retrying.retry_policy import Failure, Trouble
from p2pclient.transport.http import Answer, Broken, Limit, Wire
from p2pclient.types import Worker

T = TypeVar("T")

IMAGE_FAULTS: Mapping[int, type[BadInput]] = {400: BadImage, 413: ImageTooLarge, 415: BadImage}
TENSOR_FAULTS: Mapping[int, type[BadInput]] = dict.fromkeys((400, 404, 413, 415), BadInput)
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class Post:
    """One request for any worker: what goes out, what an answer means, which statuses are the sender's fault."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    faults: Mapping[int, type[BadInput]]


class Postman:
    """Posts to workers over `wire`: by `scheme` http or https, with a bearer token if there is one."""

    def __init__(self, wire: Wire, *, scheme: str, token: str | None) -> None:
        self._wire = wire
        self._scheme = scheme
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def post(self, worker: Worker, request: Post, read: Callable[[Answer], T], limit: Limit) -> T:
        """What the worker says, within `limit`. Raises Failure."""
        try:
            answer = await self._send(worker, request, limit)
        except Broken as broken:
            raise _no_answer(broken, worker.address) from broken
        if answer.status != 200:
            raise _refusal(answer, worker.address, request.faults)
        try:
            return read(answer)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise Failure(Trouble.FAILED, _stranger(answer, worker.address)) from error

    async def _send(self, worker: Worker, request: Post, limit: Limit) -> Answer:
        """The worker's answer; if a kept connection turns out to be stale, the request is sent once more.

        aiohttp does so by itself, but not for POST (RFC 9110, 9.2.2, leaves that to those who know better).
        """
        began_s = time.monotonic()
        try:
            return await self._send_once(worker, request, limit)
        except Broken as broken:
            if not broken.stale:
                raise
        spent_s = time.monotonic() - began_s
        return await self._send_once(worker, request, dataclasses.replace(limit, hard_s=limit.hard_s - spent_s))

    async def _send_once(self, worker: Worker, request: Post, limit: Limit) -> Answer:
        headers = {
            **self._headers,
            **request.headers,
            "P2P-Timeout-Ms": str(max(1, int(limit.hard_s * 1000))),
        }
        if worker.boot:
            headers["P2P-Boot"] = worker.boot
        url = _url(self._scheme, worker.host, worker.port, request.path)
        return await self._wire.exchange("POST", url, headers=headers, body=request.body, limit=limit)


@functools.lru_cache(maxsize=1024)
def _url(scheme: str, host: str, port: int, path: str) -> URL:
    """Parsing one costs as much as everything else the client does before it sends."""
    return URL(f"{scheme}://{Worker('', '', host, port).address}{path}", encoded=True)


def _no_answer(broken: Broken, worker: str) -> Failure:
    if broken.silent_s is not None:
        late = f"worker {worker} gave {broken}: allow more time, or see whether it hangs or is overloaded"
        return Failure(Trouble.FAILED, DeadlineExceeded(late, worker=worker), silent_s=broken.silent_s)
    if broken.gone:
        lost = f"worker {worker} failed: {broken}; see whether it runs and can be reached from here"
        return Failure(Trouble.REFUSED if broken.unmet else Trouble.GONE, WorkerFailed(lost, worker=worker))
    odd = f"{worker} does not answer as a worker does: {broken}"
    return Failure(Trouble.FAILED, ProtocolError(odd, worker=worker))


def _refusal(answer: Answer, worker: str, faults: Mapping[int, type[BadInput]]) -> Failure:
    status = answer.status
    # 413 means the same from whatever stands in the way; the others only in a worker's own form.
    if status in faults and (status == _TOO_LARGE or answer.error() is not None):
        return Failure(Trouble.FINAL, faults[status](answer.sentence(), status=status, worker=worker))
    if status in (421, 429) or status >= 500:
        refused = WorkerFailed(f"worker {worker} answered {status}: {answer.sentence()}", status=status, worker=worker)
        trouble = Trouble.REFUSED if status == 421 else Trouble.FAILED
        return Failure(trouble, refused, retry_after_s=answer.retry_after_s)
    return Failure(Trouble.FAILED, _stranger(answer, worker))


def _stranger(answer: Answer, worker: str) -> P2PError:
    return ProtocolError(
        f"{worker} does not answer as a worker does ({answer.status} {answer.sentence()!r}):"
        " does another program use its port?",
        status=answer.status,
        worker=worker,
    )
