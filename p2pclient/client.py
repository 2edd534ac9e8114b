"""A call from end to end: image -> bytes -> lookup -> post -> Prediction, tried again where that helps.

The decisions are in `retry`, the exchanges in `lookup` and `post`; what is here is their order, and
the clock: every wait and every exchange is cut to what is left of the one time the call was given.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from p2pclient import retry
from p2pclient.errors import DeadlineExceeded, P2PError
from p2pclient.image import read_image
from p2pclient.lookup import Lookup
from p2pclient.post import post
from p2pclient.retry import Failure
from p2pclient.types import DEFAULT_REGISTRY, Image, Prediction, Worker
from p2pclient.wire import Wire

T = TypeVar("T")


class AsyncClient:
    """A client of the workers that one lookup service knows, for use in one asyncio event loop.

        async with AsyncClient("lookup:12480") as client:
            prediction = await client.classify("cat.jpg")
            print(prediction.best.label)

    `registry` is "host", "host:port" or a URL; `service` the one to use where a call names none (the
    lookup service has a default of its own). `timeout_s` is the time for a whole call, retries
    included; `attempts` how many workers a call asks at most; `connect_timeout_s` the time for one
    connection. Raises ValueError if one of these cannot be meant. Calls may run at the same time, as
    many as you like; connections are opened at the first call, kept, and closed with the client.
    """

    def __init__(
        self,
        registry: str = DEFAULT_REGISTRY,
        *,
        service: str | None = None,
        timeout_s: float = 30.0,
        attempts: int = 3,
        connect_timeout_s: float = 1.0,
    ) -> None:
        if attempts < 1:
            raise ValueError(f"attempts must be 1 or more, not {attempts}")
        self._service = service
        self._timeout_s = _positive("timeout_s", timeout_s)
        self._attempts = attempts
        self._wire = Wire(connect_timeout_s=_positive("connect_timeout_s", connect_timeout_s))
        self._lookup = Lookup(registry)
        self._reached = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection. Calls still under way raise ClientClosed; closing twice is harmless."""
        await self._wire.close()

    async def classify(
        self, image: Image, *, top: int = 5, service: str | None = None, timeout_s: float | None = None
    ) -> Prediction:
        """What the service's model sees in an image: the `top` best labels with their scores.

        `image` is a path, the encoded bytes or a binary file; `service` and `timeout_s` replace the
        client's own for this call. Raises a P2PError, OSError if the path cannot be read, ValueError
        or TypeError for arguments that cannot be meant.
        """
        if top < 1:
            raise ValueError(f"top must be 1 or more, not {top}")
        clock = self._clock(timeout_s)
        return await self._classify(await _read_in_time(image, clock), top, service, clock)

    @overload
    async def lookup(
        self, service: str | None = None, *, count: None = None, timeout_s: float | None = None
    ) -> Worker: ...

    @overload
    async def lookup(
        self, service: str | None = None, *, count: int, timeout_s: float | None = None
    ) -> list[Worker]: ...

    async def lookup(
        self, service: str | None = None, *, count: int | None = None, timeout_s: float | None = None
    ) -> Worker | list[Worker]:
        """The next worker in rotation; with `count`, a list of up to that many different ones.

        Waits for a worker if none is healthy. Raises NoWorker, UnknownService, LookupUnavailable,
        ProtocolError.
        """
        if count is not None and count < 1:
            raise ValueError(f"count must be 1 or more, not {count}")
        workers = await self._ask(service, count, self._clock(timeout_s))
        return workers[0] if count is None else workers

    def _clock(self, timeout_s: float | None) -> _Clock:
        return _Clock(self._timeout_s if timeout_s is None else _positive("timeout_s", timeout_s))

    async def _classify(self, image: bytes, top: int, service: str | None, clock: _Clock) -> Prediction:
        """Ask one worker after another until one answers or `retry.decide` says that it is enough."""
        tried: dict[Worker, float] = {}
        failures: list[Failure] = []
        while True:
            worker = await self._find(service, tried, failures, clock)
            last = len(failures) + 1 >= self._attempts
            limit_s = retry.attempt_limit_s(clock.left_s, last=last)
            outcome = await _outcome(post(self._wire, worker, image, top=top, limit_s=limit_s))
            if not isinstance(outcome, Failure):
                return Prediction(outcome, worker.address, clock.spent_s, len(failures) + 1)
            failures.append(outcome)
            tried[worker] = clock.spent_s + outcome.retry_after_s
            await self._wait(failures, clock)

    async def _find(
        self, service: str | None, tried: dict[Worker, float], failures: list[Failure], clock: _Clock
    ) -> Worker:
        """The worker to ask next: enough are looked up for one among them to be new to this call."""
        count = len(tried) + 1 if tried else None
        worker, free_at = retry.choose(await self._ask(service, count, clock), tried)
        hold_s = free_at - clock.spent_s
        if hold_s > 0:
            if not retry.fits(hold_s, clock.left_s):
                raise _final(failures)
            await asyncio.sleep(hold_s)
        return worker

    async def _ask(self, service: str | None, count: int | None, clock: _Clock) -> list[Worker]:
        """Ask the lookup service, again and again if it has nobody to give or is away."""
        service = self._service if service is None else service
        failures: list[Failure] = []
        began_s = clock.spent_s
        while True:
            limit_s = retry.lookup_limit_s(clock.left_s, failures=len(failures), attempts=self._attempts)
            outcome = await _outcome(self._lookup.ask(self._wire, service, count=count, limit_s=limit_s))
            if not isinstance(outcome, Failure):
                self._reached = True
                return outcome
            failures.append(outcome)
            self._reached = self._reached or outcome.error.status is not None
            await self._wait(failures, clock, waited_s=clock.spent_s - began_s)

    async def _wait(self, failures: list[Failure], clock: _Clock, *, waited_s: float = 0.0) -> None:
        """Wait before the next try, or raise the last failure's error if there is to be none."""
        wait_s = retry.decide(
            failures[-1].trouble,
            failures=len(failures),
            attempts=self._attempts,
            left_s=clock.left_s,
            draw=random.random(),
            retry_after_s=failures[-1].retry_after_s,
            waited_s=waited_s,
            reached=self._reached,
        )
        if wait_s is None:
            raise _final(failures)
        await asyncio.sleep(wait_s)


class _Clock:
    """The time of one call: what is spent and what is left of it, in seconds."""

    def __init__(self, total_s: float) -> None:
        self._began = time.monotonic()
        self._total_s = total_s

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def left_s(self) -> float:
        return self._total_s - self.spent_s


async def _outcome(work: Coroutine[Any, Any, T]) -> T | Failure:
    """A failure as a value.

    An exception refers to the frame that caught it. Were that the frame of the call, which keeps its
    failures, each failure would keep the call's image in memory until the garbage collector comes by.
    """
    try:
        return await work
    except Failure as failure:
        return failure


def _final(failures: list[Failure]) -> P2PError:
    """The error of the last failure, with the number of tries that were made; its cause stays with it."""
    error = failures[-1].error
    error.attempts = len(failures)
    error.__cause__ = failures[-1].__cause__
    return error


async def _read_in_time(image: Image, clock: _Clock) -> bytes:
    try:
        async with asyncio.timeout(clock.left_s):
            return await read_image(image)
    except TimeoutError as error:
        raise DeadlineExceeded("the image could not be read in the time given to the call") from error


def _positive(name: str, seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"{name} must be a number of seconds above 0, not {seconds}")
    return seconds
