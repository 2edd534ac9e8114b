"""A subscription: one service's workers, asked for again and again with long polls, kept and handed on.

The last good list stays for as long as there is no newer one, and its age can be asked for: an answer that
does not come changes nothing. Sources: Consul's blocking queries; the pace under churn and the pauses after
errors are those of the lookup service's own watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

from p2pclient.discovery.base import Listing, WorkerSource
from p2pclient.errors import ClientClosed, UnknownService
from p2pclient.failures import Failure
from p2pclient.timeouts import LOOKUP_TRY_S
from p2pclient.types import Rollout, Worker

logger = logging.getLogger(__name__)

BACKOFF_S = 0.25
PAUSE_S = 0.05
"""Between an answer and the next question: under churn, 20 questions a second at most."""

DOUBT_S = 1.0
"""The least time between two questions that are asked because calls have found no worker."""


class Subscription:
    """Follows one service in a task of its own, from `start` to `stop`, and tells `changed` each new list.

    It ends by itself where there is no service of this name and never was; `start` begins it anew.
    """

    def __init__(self, source: WorkerSource, service: str | None, changed: Callable[[Listing], None]) -> None:
        self._source = source
        self._service = service
        self._changed = changed
        self._confirmed_s = 0.0
        self._doubted_s = 0.0
        self._doubt = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._failing = False
        self.listing: Listing | None = None

    @property
    def asked(self) -> bool:
        """Whether it runs and has had an answer to its first question, or none."""
        return self._task is not None and self._asked.is_set()

    @property
    def running(self) -> bool:
        """Whether it asks."""
        return self._task is not None

    @property
    def age_s(self) -> float:
        """Seconds since the list was known to be true."""
        stale_s = self.listing.stale_s if self.listing is not None else 0.0
        return time.monotonic() - self._confirmed_s + stale_s

    def start(self) -> asyncio.Event:
        """Begin, unless it runs; the event is set once the first question was answered, or was not."""
        if self._task is None:
            self._asked.clear()
            name = f"p2pclient subscribes to {self._service or 'the default service'}"
            self._task = asyncio.create_task(self._run(), name=name)
        return self._asked

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
        failures = 0
        after: Listing | None = None
        while True:
            try:
                after = await self._ask(after)
                failures = 0
            except ClientClosed:
                return
            except Failure as failure:
                failures, after = failures + 1, None
                self._complain(str(failure))
                if isinstance(failure.error, UnknownService) and self.listing is None:
                    self._task = None
                    return
            except Exception:  # of reading an answer, most likely: the list must not stay as it is for ever
                failures, after = failures + 1, None
                logger.exception("The subscription to %s goes on after this:", self._name)
            finally:
                self._asked.set()
            longest_s = min(self._source.backoff_max_s, BACKOFF_S * 2.0 ** min(failures - 1, 10))
            await self._pause(random.random() * longest_s if failures else PAUSE_S)

    @property
    def _name(self) -> str:
        return self._service or "the default service"

    async def _ask(self, after: Listing | None) -> Listing | None:
        """One question: the list to ask after next, None if it is to be asked for at once, because it is in doubt."""
        question = asyncio.ensure_future(self._source.listing(self._service, after=after, limit_s=LOOKUP_TRY_S))
        doubt = asyncio.ensure_future(self._doubt.wait())
        try:
            await asyncio.wait((question,) if after is None else (question, doubt), return_when=asyncio.FIRST_COMPLETED)
            if not question.done():
                return None
            listing = question.result()
            self._take(listing)
            return listing if listing.index else None
        finally:
            question.cancel()
            doubt.cancel()
            await asyncio.gather(question, doubt, return_exceptions=True)

    def _take(self, listing: Listing) -> None:
        self._confirmed_s = time.monotonic()
        self._failing = False
        before, self.listing = self.listing, listing
        if before is None or _content(before) != _content(listing):
            self._changed(listing)

    def _complain(self, sentence: str) -> None:
        if not self._failing:
            logger.info("The subscription to %s: %s", self._name, sentence)
        self._failing = True

    async def _pause(self, pause_s: float) -> None:
        """Wait so long, or until the list is in doubt."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._doubt.wait()
        self._doubt.clear()


def _content(listing: Listing) -> tuple[Rollout | None, list[tuple[Worker, int, str]]]:
    """All that matters of a list: workers are equal whatever their weight and health are."""
    return listing.rollout, [(worker, worker.weight, worker.health) for worker in listing.serving]
