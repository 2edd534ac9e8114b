"""Step two of a call: the image's bytes go straight to the worker, its labels come back.

    POST /?top=K                body: the image; P2P-Boot: the process meant; P2P-Timeout-Ms: time left
    200 [["tabby", 0.61], ...]  best first; errors are {"error": "sentence"}
400, 413 and 415 are the image's fault. Whatever else comes speaks of this worker alone
(421, 429, 5xx, or a stranger that has taken over the port), and another one may do better: prediction
is pure, so a POST may be sent again.
"""

from __future__ import annotations

import math
import time
from typing import Any

from p2pclient.errors import (
    BadImage,
    DeadlineExceeded,
    ImageTooLarge,
    P2PError,
    ProtocolError,
    WorkerFailed,
)
from p2pclient.image import media_type
from p2pclient.retry import Failure, Trouble
from p2pclient.types import Label, Worker
from p2pclient.wire import Answer, Broken, Wire

_IMAGE_FAULTS: dict[int, type[BadImage]] = {400: BadImage, 413: ImageTooLarge, 415: BadImage}


async def post(wire: Wire, worker: Worker, image: bytes, *, top: int, limit_s: float) -> tuple[Label, ...]:
    """The worker's labels for one encoded image, within `limit_s` seconds. Raises Failure."""
    try:
        answer = await _send(wire, worker, image, top, limit_s)
    except Broken as broken:
        raise _no_answer(broken, worker.address) from broken
    if answer.status != 200:
        raise _refusal(answer, worker.address)
    try:
        return _labels(answer.json())
    except (ValueError, TypeError, RecursionError) as error:
        raise Failure(Trouble.FAILED, _stranger(answer, worker.address)) from error


async def _send(wire: Wire, worker: Worker, image: bytes, top: int, limit_s: float) -> Answer:
    """The worker's answer; if a kept connection turns out to be stale, the request is sent once more.

    aiohttp does so by itself, but not for POST (RFC 9110, 9.2.2, leaves that to those who know better).
    """
    until = time.monotonic() + limit_s
    try:
        return await _send_once(wire, worker, image, top, limit_s)
    except Broken as broken:
        if not broken.stale:
            raise
    return await _send_once(wire, worker, image, top, until - time.monotonic())


async def _send_once(wire: Wire, worker: Worker, image: bytes, top: int, limit_s: float) -> Answer:
    # The worker is told the limit of this attempt, so that it need not begin what nobody will wait for.
    headers = {
        "Accept": "application/json",
        "Content-Type": media_type(image),
        "P2P-Timeout-Ms": str(max(1, int(limit_s * 1000))),
    }
    if worker.boot:
        headers["P2P-Boot"] = worker.boot
    url = f"http://{worker.address}/?top={top}"
    return await wire.exchange("POST", url, headers=headers, body=image, limit_s=limit_s)


def _no_answer(broken: Broken, worker: str) -> Failure:
    if broken.late:
        late = f"worker {worker} gave {broken}: allow more time, or see whether it hangs or is overloaded"
        return Failure(Trouble.FAILED, DeadlineExceeded(late, worker=worker))
    if broken.gone:
        lost = f"worker {worker} failed: {broken}; see whether it runs and can be reached from here"
        return Failure(Trouble.GONE, WorkerFailed(lost, worker=worker))
    odd = f"{worker} does not answer as a worker does: {broken}"
    return Failure(Trouble.FAILED, ProtocolError(odd, worker=worker))


def _refusal(answer: Answer, worker: str) -> Failure:
    status = answer.status
    # 413 means the same from whatever stands in the way; 400 and 415 only in a worker's own form.
    if status in _IMAGE_FAULTS and (status == 413 or answer.error() is not None):
        return Failure(Trouble.FINAL, _IMAGE_FAULTS[status](answer.sentence(), status=status, worker=worker))
    if status in (421, 429) or status >= 500:
        refused = WorkerFailed(f"worker {worker} answered {status}: {answer.sentence()}", status=status, worker=worker)
        trouble = Trouble.GONE if status == 421 else Trouble.FAILED
        return Failure(trouble, refused, retry_after_s=answer.retry_after_s)
    return Failure(Trouble.FAILED, _stranger(answer, worker))


def _stranger(answer: Answer, worker: str) -> P2PError:
    return ProtocolError(
        f"{worker} does not answer as a worker does ({answer.status} {answer.sentence()!r}):"
        " does another program use its port?",
        status=answer.status,
        worker=worker,
    )


def _labels(pairs: Any) -> tuple[Label, ...]:
    """`[["tabby", 0.61], ...]` as labels; raises ValueError or TypeError if it is anything else.

    A model without names for its classes answers with their numbers: these become text.
    """
    if not isinstance(pairs, list) or not pairs:
        raise TypeError("not a list of pairs")
    labels = []
    for label, score in pairs:
        if type(label) not in (str, int) or type(score) not in (int, float) or not math.isfinite(score):
            raise TypeError("not a label and a score")
        labels.append(Label(str(label), float(score)))
    return tuple(labels)
