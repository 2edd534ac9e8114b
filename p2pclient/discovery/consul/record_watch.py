"""Follows the record of one service's split in Consul's key/value store: the last that was read holds until a new one.

    GET /v1/kv/p2p-serving/rollouts/NAME?stale&index=&wait=      404: there is no record; waits for a change

What an answer means is decided in `known_record`. No error ends a split; without the right to read the record the
service is one without a record.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from p2pclient.discovery.consul.blocking_query import longest_s, waiting
from p2pclient.discovery.consul.known_record import KnownRecord, reconcile
from p2pclient.discovery.consul.record_entry import Entry, read_entry
from p2pclient.discovery.failover import Failover, denied
from p2pclient.discovery.rollout import Record
from p2pclient.errors import AuthenticationError, ClientClosed
from p2pclient.failures import Failure, Trouble
from p2pclient.messages import MALFORMED, unlike
from p2pclient.timeouts import LOOKUP_TURN_S

logger = logging.getLogger("p2pclient")

PREFIX = "p2p-serving/rollouts/"
RIGHT = f'key_prefix "{PREFIX}" {{ policy = "read" }}'

_STATUSES = (200, 401, 403, 404)
"""Those of answers that say something of the record, or of the right to read it."""

PAUSE_S = 0.02
"""Between an answer and the next question: under a burst of changes, 50 questions a second at most."""

QUIET_S = 5.0
PAUSE_MAX_S = 5.0
"""A question for an entry that does not exist is answered by Consul before 1.12 whenever any other entry is written
(source: hashicorp/consul issue 9449). Answers that say nothing new, and come within 5 s, double the pause, so
that a busy store is not asked at each write."""

BACKOFF_S = 0.25
BACKOFF_MAX_S = 30.0
DENIED_S = 5.0
DENIED_MAX_S = 60.0
"""Where the token may not read the record, it is asked for again after 5 s (an agent that starts refuses every token),
and once a minute in the end."""


class RecordWatch:
    """The record of `service`, as `servers` tell it."""

    def __init__(self, servers: Failover, service: str) -> None:
        self._known = KnownRecord()
        self._servers = servers
        self._service = service
        self._complained = False
        self._failures = 0
        self._uneventful = 0
        self._rests_until_s = 0.0
        self._unreachable = False
        self._hurry = asyncio.Event()
        self._asked = asyncio.Event()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def record(self) -> Record:
        """The record that holds; an empty one while none is known."""
        return self._known.record

    async def read(self, *, limit_s: float) -> Record:
        """The record now: asked for, unless it is followed, or the last question has just failed.

        Where it is followed and Consul did not answer, it is asked for again now: something else was answered.
        """
        if self._task is not None:
            if self._unreachable:
                self._hurry.set()
        elif time.monotonic() >= self._rests_until_s:
            self._known = replace(self._known, index=0)
            await self._ask(min(limit_s, LOOKUP_TURN_S))
        return self.record

    def follow(self) -> None:
        """Begin to follow the record, until `close`; its questions belong to no call."""
        if self._task is None:
            name = f"p2pclient follows the split of {self._service}"
            self._task = asyncio.create_task(self._run(), name=name, context=contextvars.Context())

    async def followed(self, *, limit_s: float) -> Record:
        """The record, followed from now on; the first question is waited for."""
        self.follow()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._asked.wait()
        return self.record

    async def until(self, fits: Callable[[Record], bool]) -> Record:
        """Wait for a record that fits."""
        while not fits(self.record):
            await self._changed.wait()
        return self.record

    async def close(self) -> None:
        """Follow the record no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                pause_s = await self._ask(LOOKUP_TURN_S)
            except ClientClosed:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._hurry.wait()
            self._hurry.clear()

    async def _ask(self, limit_s: float) -> float:
        """Ask once, waiting for a change where the last answer is known; the pause before the next question."""
        began_s, before = time.monotonic(), self._known
        try:
            self._take(await self._answer(limit_s))
            self._failures, self._unreachable = 0, False
        except Failure as failure:
            pause_s = self._failed(failure)
        except ClientClosed:
            raise
        except Exception:  # of reading an answer, most likely: the record must not stay as it is for ever
            logger.exception("%s: the split is followed further after this:", self._service)
            pause_s = self._rest(BACKOFF_S, BACKOFF_MAX_S)
        else:
            eventful = not before.index or self._known.value != before.value or time.monotonic() - began_s >= QUIET_S
            self._uneventful = 0 if eventful and self._known.believed else self._uneventful + 1
            pause_s = min(PAUSE_S * 2.0 ** min(self._uneventful, 10), PAUSE_MAX_S)
        finally:
            self._asked.set()
        return pause_s

    async def _answer(self, limit_s: float) -> Entry:
        index = self._known.index
        path = f"/v1/kv/{PREFIX}{quote(self._service, safe='')}?stale{waiting(index)}"
        limit_s += longest_s(index)
        answer, base = await self._servers.ask(path, limit_s=limit_s, waits=bool(index), accepts=_STATUSES)
        if answer.status in (401, 403):
            raise denied(f"Consul at {base}", answer, hint=f"give a token with {RIGHT}")
        try:
            return await asyncio.to_thread(read_entry, answer) if answer.large else read_entry(answer)
        except MALFORMED as error:
            raise Failure(Trouble.FINAL, unlike("Consul", answer, base, hint="is the address right?")) from error

    def _take(self, said: Entry) -> None:
        before, self._known = self._known, reconcile(self._known, said)
        if self._complained:
            self._complained = False
            logger.info("%s: the split is followed again", self._service)
        if self._known.warning:
            logger.warning("%s: %s", self._service, self._known.warning)
        if self._known.record != before.record:
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def _failed(self, failure: Failure) -> float:
        """The pause before the next question."""
        if not self._complained:
            self._complained = True
            kept = "the last one holds" if self.record != Record() else "calls are not split"
            logger.info("%s: the split cannot be read, %s: %s", self._service, kept, failure)
        self._unreachable = failure.trouble is Trouble.NO_LOOKUP
        if isinstance(failure.error, AuthenticationError):
            return self._rest(DENIED_S, DENIED_MAX_S)
        return self._rest(BACKOFF_S, BACKOFF_MAX_S)

    def _rest(self, first_s: float, longest_s: float) -> float:
        self._known = replace(self._known, index=0)
        pause_s = min(first_s * 2.0 ** min(self._failures, 10), longest_s) * random.uniform(0.5, 1.0)
        self._failures += 1
        self._rests_until_s = time.monotonic() + pause_s
        return pause_s
