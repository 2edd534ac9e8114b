"""Quotas: how many requests per second, and how many places at a time, each caller gets. Pure: the time is given.

A caller's rate is a token bucket (RFC 2697's, of one rate) that holds one second's requests, so a caller that was idle
may send that many at once. A place is room for one image in a worker's queue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from registry.security.caller import Caller

BUCKETS_AT_MOST = 10_000
"""Callers whose rates are kept; beyond it, those that have not asked for long enough to be full again are dropped."""


class OverQuota(Exception):
    """A caller asks for more than its quota, which the sentence names; `retry_after_s` says when to ask again."""

    status = 429

    def __init__(self, sentence: str, *, retry_after_s: float) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class RateBucket:
    """The requests that one caller may still send: at most `most`, and `rate_hz` more with every second."""

    rate_hz: float
    left: float
    at_s: float

    @property
    def most(self) -> float:
        """How many requests may come at once."""
        return max(1.0, self.rate_hz)

    def wait_s(self, now_s: float) -> float:
        """The seconds until a request can be taken; 0 if one can be taken now."""
        self.left = min(self.most, self.left + max(0.0, now_s - self.at_s) * self.rate_hz)
        self.at_s = now_s
        return 0.0 if self.left >= 1.0 else (1.0 - self.left) / self.rate_hz

    def take(self, now_s: float) -> float:
        """Take one request, and return 0; or take none, and return the seconds until there is one."""
        wait_s = self.wait_s(now_s)
        if not wait_s:
            self.left -= 1.0
        return wait_s

    def full(self, now_s: float) -> bool:
        """Whether nothing would be lost if the bucket were dropped and made again."""
        return self.left + max(0.0, now_s - self.at_s) * self.rate_hz >= self.most


class Places:
    """The places that one request holds; `count` of them so far."""

    __slots__ = ("_caller", "_quotas", "count")

    def __init__(self, quotas: Quotas, caller: Caller) -> None:
        self._quotas = quotas
        self._caller = caller
        self.count = 0

    def hold(self, count: int) -> None:
        """Hold that many places in all. Raises OverQuota, unless the caller has no other request here."""
        self._quotas._hold(self, self._caller, count)

    def release(self) -> None:
        """Give all of them back."""
        self._quotas._release(self, self._caller)


class Quotas:
    """What the callers of one process have used of their quotas; `places` is how many a worker has in all."""

    def __init__(self, *, places: int = 0) -> None:
        self._places = places
        self._buckets: dict[tuple[str, float], RateBucket] = {}
        self._held: dict[str, int] = {}

    def take(self, caller: Caller, *, now_s: float) -> None:
        """Count one request of the caller, at a monotonic time. Raises OverQuota where its rate is used up."""
        bucket = self._bucket(caller, now_s)
        if bucket is not None:
            _check_wait(caller, bucket.take(now_s))

    def check(self, caller: Caller, *, now_s: float) -> None:
        """Raise OverQuota where `take` would; counts nothing."""
        bucket = self._bucket(caller, now_s)
        if bucket is not None:
            _check_wait(caller, bucket.wait_s(now_s))

    def place(self, caller: Caller) -> Places | None:
        """A place for a request of the caller, to be released after it; None where the caller has no such quota.

        Raises OverQuota where the caller holds its share already.
        """
        if caller.quota.concurrency is None:
            return None
        places = Places(self, caller)
        places.hold(1)
        return places

    def held(self, name: str) -> int:
        """How many places the caller of that name holds."""
        return self._held.get(name, 0)

    def _hold(self, places: Places, caller: Caller, count: int) -> None:
        share = max(1, int((caller.quota.concurrency or 1.0) * self._places))
        others = self.held(caller.name) - places.count
        if others and others + count > share:
            raise OverQuota(
                f"{caller.name} has used its quota of {share} images at a time here: ask again when others of its "
                "requests are answered.",
                retry_after_s=1.0,
            )
        self._held[caller.name] = others + count
        places.count = count

    def _release(self, places: Places, caller: Caller) -> None:
        left = self.held(caller.name) - places.count
        places.count = 0
        if left:
            self._held[caller.name] = left
        else:
            self._held.pop(caller.name, None)

    def _bucket(self, caller: Caller, now_s: float) -> RateBucket | None:
        rate_hz = caller.quota.rate_hz
        if rate_hz is None:
            return None
        key = caller.name, rate_hz
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= BUCKETS_AT_MOST:
                self._buckets = {key: each for key, each in self._buckets.items() if not each.full(now_s)}
            bucket = self._buckets[key] = RateBucket(rate_hz, max(1.0, rate_hz), now_s)
        return bucket


def _check_wait(caller: Caller, wait_s: float) -> None:
    if wait_s:
        raise OverQuota(
            f"{caller.name} has used its quota of {caller.quota.rate_hz:g} requests per second here: ask again in "
            f"{max(1, math.ceil(wait_s))} s.",
            retry_after_s=wait_s,
        )
