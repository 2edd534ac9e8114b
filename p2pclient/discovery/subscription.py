"""A subscription: one service's workers, asked for again and again with long polls, kept and handed on.

The last good list stays for as long as there is no newer one, and its age can be asked for: an answer that
does not come changes nothing. Sources: Consul's blocking queries; the pace under churn and the pauses after
errors are those of the lookup service's own follower.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

from p2pclient.discovery.base import Listing, Source
from p2pclient.errors import ClientClosed, P2PError
from p2pclient.retrying.retry_policy import LOOKUP_TRY_S, Failure
from p2pclient.types import Worker

logger = logging.getLogger(__name__)

BACKOFF_S = 0.25
PAUSE_S = 0.05
"""Between an answer and the next question: under churn, 20 questions a second at most."""

DOUBT_S = 1.0
"""The least time between two questions that are asked because calls have found nobody."""


class Watch:
    """Follows one service in a task of its own, from `start` to `stop`, and tells `changed` each new list."""

    def __init__(self, source: Source, service: str | None, changed: Callable[[Listing], None]) -> None:
        self._source = source
        self._service = service
        self._changed = changed
        self._confirmed_s = 0.0
        self._doubted_s = 0.0
        self._doubt = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.tried = asyncio.Event()
        self.listing: Listing | None = None
        self.error: P2PError | None = None

    @property
    def age_s(self) -> float:
        """Seconds since the list was known to be true."""
        stale_s = self.listing.stale_s if self.listing is not None else 0.0
        return time.monotonic() - self._confirmed_s + stale_s

    def start(self) -> None:
        """Begin, once."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"p2pclient watches {self._service or 'the default'}")

    async def stop(self) -> None:
        """End; the list stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def doubt(self) -> None:
        """The list seems wrong: ask for it anew now, not when the present question is answered."""
        now_s = time.monotonic()
        if now_s - self._doubted_s >= DOUBT_S:
            self._doubted_s = now_s
            self._doubt.set()

    async def _run(self) -> None:
        failures, index = 0, 0
        while True:
            try:
                index = await self._ask(index)
                failures = 0
            except ClientClosed:
                return
            except Failure as failure:
                failures, index = failures + 1, 0
                self._complain(failure.error)
            finally:
                self.tried.set()
            longest_s = min(self._source.backoff_max_s, BACKOFF_S * 2.0 ** min(failures - 1, 10))
            await self._pause(random.random() * longest_s if failures else PAUSE_S)

    async def _ask(self, index: int) -> int:
        """One question; the index of the next one, 0 if this one was given up because the list is in doubt."""
        question = asyncio.ensure_future(self._source.listing(self._service, index=index, limit_s=LOOKUP_TRY_S))
        doubt = asyncio.ensure_future(self._doubt.wait())
        try:
            await asyncio.wait((question, doubt) if index else (question,), return_when=asyncio.FIRST_COMPLETED)
            if not question.done():
                return 0
            listing = question.result()
            self._take(listing)
            return listing.index
        finally:
            question.cancel()
            doubt.cancel()
            await asyncio.gather(question, doubt, return_exceptions=True)

    def _take(self, listing: Listing) -> None:
        self._confirmed_s = time.monotonic()
        self.error = None
        before, self.listing = self.listing, listing
        if before is None or _seen(before) != _seen(listing):
            self._changed(listing)

    def _complain(self, error: P2PError) -> None:
        if self.error is None:
            logger.info("The subscription to %s: %s", self._service or "the default service", error)
        self.error = error

    async def _pause(self, pause_s: float) -> None:
        """Wait so long, or until the list is in doubt."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._doubt.wait()
        self._doubt.clear()


def _seen(listing: Listing) -> list[tuple[Worker, int, str]]:
    """All that matters of a list: workers are equal whatever their weight and health are."""
    return [(worker, worker.weight, worker.health) for worker in listing.serving]
