"""What happens around every request, on whichever road it came: the right process, counted, errors as JSON.

And goodbye when leaving: a client that keeps its connection would go on to feed a worker that is about to close it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from worker.errors import WrongWorker
from worker.repository.repository import Models
from worker.repository.request_epochs import Requests
from worker.telemetry.metrics import Numbers
from worker.web.endpoint_state import Presence
from worker.web.refusals import as_ours, refused
from worker.web.request import Asked
from worker.web.request_labels import counted
from worker.web.responses import Answer


class Reply(Protocol):
    """An answer of either road."""

    @property
    def status(self) -> int:
        """Its HTTP status."""

    def force_close(self) -> None:
        """End the connection after it."""


A = TypeVar("A", bound=Asked)
R = TypeVar("R", bound=Reply)


class Around:
    """The frame of all requests to one port."""

    def __init__(self, presence: Presence, models: Models, numbers: Numbers, requests: Requests) -> None:
        self._presence = presence
        self._models = models
        self._numbers = numbers
        self._requests = requests

    async def answer(self, asked: A, handler: Callable[[A], Awaitable[R]], refusing: Callable[[Answer], R]) -> R:
        """What `handler` answers, or its refusal as `refusing` writes it; raises nothing but a cancellation."""
        numbers = self._numbers
        since_s = time.monotonic()
        numbers.in_flight += 1
        try:
            with self._requests.one():
                self._check_boot(asked)
                reply = await handler(asked)
        except Exception as error:
            reply = refusing(refused(as_ours(error, asked)))
        finally:
            numbers.in_flight -= 1
        of = counted(asked.path, default=self._models.default, known=self._models.names)
        numbers.answered(of, status=reply.status, took_s=time.monotonic() - since_s)
        if self._presence.leaving:
            reply.force_close()
        return reply

    def _check_boot(self, asked: Asked) -> None:
        boot = asked.headers.get("P2P-Boot")
        if boot is not None and boot != self._presence.boot:
            raise WrongWorker("Another process answers at this address now: look a worker up again.")
