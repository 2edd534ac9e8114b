"""The loop that keeps a belief true: a blocking query, an answer, a judgement, a new belief, again.

Consul is never polled: a question carries the index of the last answer and returns when something changed.
Errors back off with full jitter; bursts of change are taken a few at a time by a token bucket.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from registry.consul.catalog import CALL_TIMEOUT_S, WAIT_S, Catalog
from registry.consul.errors import ConsulUnavailable
from registry.consul.instance import Snapshot
from registry.discovery.reconcile import Belief, doubt, judge
from registry.discovery.state_file import Saved
from registry.runtime.errors import RegistryError

logger = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.25
BACKOFF_MOST_S = 30.0

CHANGES_A_SECOND = 50.0
"""Under churn at most so many questions a second: a change is seen within 20 ms, and Consul is spared."""

CHANGES_AT_ONCE = 2.0

LEADERLESS_WAIT_S = 1.0
"""How soon an agent that answers from the past is asked again whether it found its leader."""


Hidden = Callable[[str], Awaitable[bool]]
"""Asks Consul whether it hides the instances of a service from us, rather than having none."""


class TokenBucket:
    """Lets `burst` through at once and `rate_hz` a second after that. Time comes in with each call."""

    def __init__(self, *, rate_hz: float, burst: float, now_s: float) -> None:
        self._rate_hz = rate_hz
        self._burst = burst
        self._tokens = burst
        self._at_s = now_s

    def delay_s(self, now_s: float) -> float:
        """Take a token; how long to wait before using it, 0 if one was there."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate_hz) - 1
        self._at_s = now_s
        return max(0.0, -self._tokens / self._rate_hz)


def backoff_s(failures: int, chance: random.Random) -> float:
    """Full jitter (M. Brooker, "Exponential Backoff And Jitter", 2015): anywhere up to the doubled bound."""
    bound = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2 ** min(failures, 16))
    return chance.uniform(0, bound)


class Follower:
    """Follows one service: `belief` is what is held now; `changed(belief)` is called when that differs.

    `confirmed_s` is the monotonic time of the last sound answer, None before the first. `trouble` says why the
    last question had no answer, "" if it had. `saved` is what an earlier process believed last: taken up where
    Consul does not answer. `hidden` is asked before it is believed that the last instances are gone.
    """

    def __init__(
        self,
        catalog: Catalog,
        service: str,
        changed: Callable[[Belief], None],
        *,
        hidden: Hidden,
        saved: Saved | None = None,
    ) -> None:
        self.service = service
        self.belief = Belief(Snapshot(service))
        self.confirmed_s: float | None = None
        self.trouble = ""
        self.first = asyncio.Event()
        self._catalog = catalog
        self._changed = changed
        self._hidden = hidden
        self._saved = saved
        self._failures = 0
        self._asking: asyncio.Timeout | None = None
        self._again = asyncio.Event()
        self._chance = random.Random()
        self._bucket = TokenBucket(rate_hz=CHANGES_A_SECOND, burst=CHANGES_AT_ONCE, now_s=time.monotonic())

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._ask()
                self._failures, self.trouble = 0, ""
                await asyncio.sleep(self._bucket.delay_s(time.monotonic()))
            except RegistryError as error:
                self._hold(error)
                await self._pause(backoff_s(self._failures, self._chance))
                self._failures += 1

    def doubt(self) -> None:
        """Somebody found that there is no leader: do not wait on, ask what Consul says now."""
        if self._asking is not None and not self.belief.stale:
            self._asking.reschedule(asyncio.get_running_loop().time())

    def ask_now(self) -> None:
        """Somebody found that Consul is back: do not sit out the pause after an error."""
        self._again.set()

    def stale_s(self, now_s: float) -> float | None:
        """For how long Consul has not confirmed the belief; None while it does."""
        if not self.belief.stale:
            return None
        return now_s - self.confirmed_s if self.confirmed_s is not None else 0.0

    async def _ask(self) -> None:
        # After an error the question does not wait: whether Consul is back must be known at once.
        index = 0 if self._failures else self.belief.index
        wait_s = self._wait_s() if index else 0.0
        try:
            async with asyncio.timeout(wait_s * 17 / 16 + CALL_TIMEOUT_S) as self._asking:
                answer = await self._catalog.health(self.service, index=index, wait_s=wait_s)
        except TimeoutError:
            raise ConsulUnavailable("Consul has no leader, or the agent cannot reach it.") from None
        finally:
            self._asking = None
        if not answer.instances and self.belief.snapshot.serving:
            answer = replace(answer, hidden=await self._hidden(self.service))
        now_s = time.monotonic()
        if answer.current:
            self.confirmed_s = now_s
        self._take(judge(self.belief, answer, now_s=now_s))

    async def _pause(self, pause_s: float) -> None:
        self._again.clear()
        try:
            async with asyncio.timeout(pause_s):
                await self._again.wait()
        except TimeoutError:
            return

    def _wait_s(self) -> float:
        if self.belief.stale:
            return LEADERLESS_WAIT_S
        # While instances are held on suspicion the question ends with the grace, to be put again then.
        until = self.belief.suspect_until_s
        return WAIT_S if until is None else min(WAIT_S, max(0.1, until - time.monotonic()))

    def _hold(self, error: RegistryError) -> None:
        self.trouble = str(error)
        if not self.belief.known and self._saved is not None:
            self.confirmed_s = time.monotonic() - (time.time() - self._saved.confirmed_at)
            self._take(self._saved.belief)
        if self._failures == 0:
            held = "Serving the last good set of" if self.belief.known else "There is no earlier set of"
            logger.warning("%s %s %s.", error, held, self.service)
        self._take(doubt(self.belief))

    def _take(self, belief: Belief) -> None:
        old, self.belief = self.belief, belief
        if old.stale and not belief.stale and old.known:
            logger.info("Consul confirms %s again.", self.service)
        if (old.snapshot.instances, old.known) != (belief.snapshot.instances, belief.known):
            self._changed(belief)
        if belief.known:
            self.first.set()
