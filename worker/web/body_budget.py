"""The bytes of request bodies, received within one memory budget for the whole worker and within a time limit.

A body's bytes count from their arrival until the response to its request is known, whether or not the client reads it.
Where the next bytes would exceed the budget, the largest body that is still arriving is refused: a few large bodies
cannot keep out many small ones, and a body that has arrived is never lost. A sender that pauses too long, or takes too
long in all, is refused too.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from worker.errors import BadRequest, Busy, TooLarge, TooSlow
from worker.web.request import IncomingRequest, RequestBody

PAUSE_S = 10.0
"""A body of which nothing arrives for this long is refused."""

PIECE_BYTES = 16 << 10
"""Smaller pieces are joined as they arrive: a body sent byte by byte must not cost more memory than another."""


@dataclass(slots=True, eq=False)
class _Receiving:
    """One body that is being received: its bytes so far, and the time limit that ends it, once it is waited for."""

    time_limit: asyncio.Timeout | None = None
    size: int = 0
    refused: bool = False


class BodyBudget:
    """The bytes of request bodies that this worker holds: at most `most_bytes`, over all its connections.

    A body that has not arrived `total_s` after its request's headers, or pauses for `pause_s`, is refused.
    """

    def __init__(self, *, most_bytes: int, total_s: float, pause_s: float = PAUSE_S) -> None:
        self.held_bytes = 0
        self._most_bytes = most_bytes
        self._total_s = total_s
        self._pause_s = min(pause_s, total_s)
        self._by_task: dict[asyncio.Task[object], _Receiving] = {}
        self._unfinished: set[_Receiving] = set()
        self._all_finished = asyncio.Event()
        self._all_finished.set()

    async def finished(self, *, within_s: float) -> None:
        """Wait until no body is being received, but at most that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._all_finished.wait()

    async def pieces(self, request: IncomingRequest, *, limit_bytes: int) -> list[bytes]:
        """The body of a request in pieces, in order; [] if it is empty. To be called in the request's own task.

        Raises TooLarge where it exceeds `limit_bytes` (without reading the rest), TooSlow, Busy where the
        budget is used up, BadRequest where the body's framing or compression is broken.
        """
        check_length(request, limit_bytes=limit_bytes)
        body = self._enter()
        try:
            if not request.content.is_eof():
                return await self._wait_for_rest(request.content, body, limit_bytes)
            whole = request.content.read_nowait()  # most bodies have arrived with their headers and need no clock
            self._take(body, len(whole), limit_bytes)
            return [whole] if whole else []
        except TimeoutError:
            raise self._over_budget() if body.refused else self._too_slow() from None
        except web.RequestPayloadError as error:
            raise BadRequest(f"The body cannot be read as its headers describe it: {error}.") from error

    async def _wait_for_rest(self, content: RequestBody, body: _Receiving, limit_bytes: int) -> list[bytes]:
        """The pieces of a body that is still arriving; TimeoutError where it is too slow or refused meanwhile."""
        clock = asyncio.get_running_loop().time
        end_s = clock() + self._total_s
        pieces: list[bytes] = []
        self._unfinished.add(body)
        self._all_finished.clear()
        try:
            async with asyncio.timeout(self._pause_s) as body.time_limit:
                while piece := await content.readany():
                    self._take(body, len(piece), limit_bytes)
                    _append(pieces, piece)
                    if len(piece) > PIECE_BYTES:  # the next one may be unpacked without a pause
                        await asyncio.sleep(0)
                    body.time_limit.reschedule(min(clock() + self._pause_s, end_s))
        finally:
            self._leave(body)
        return pieces

    def _enter(self) -> _Receiving:
        """A body whose bytes are given back when the current task ends."""
        body = _Receiving()
        task = asyncio.current_task()
        assert task is not None  # a coroutine always runs in a task
        if task not in self._by_task:
            task.add_done_callback(self._release)
        self._by_task[task] = body
        return body

    def release(self) -> None:
        """Give back the bytes of the body that the current task has received."""
        task = asyncio.current_task()
        assert task is not None  # a coroutine always runs in a task
        self._release(task)

    def _release(self, task: asyncio.Task[object]) -> None:
        body = self._by_task.pop(task, None)
        if body is not None:
            self._give_back(body)

    def _leave(self, body: _Receiving) -> None:
        self._unfinished.discard(body)
        if not self._unfinished:
            self._all_finished.set()

    def _give_back(self, body: _Receiving) -> None:
        self.held_bytes -= body.size
        body.size = 0

    def _take(self, body: _Receiving, count: int, limit_bytes: int) -> None:
        """Count bytes that have arrived. Raises TooLarge or Busy if they may not be kept."""
        if body.refused:  # its task had data to read before the time limit woke it
            raise self._over_budget()
        body.size += count
        self.held_bytes += count
        if body.size > limit_bytes:
            raise too_large(limit_bytes)
        while self.held_bytes > self._most_bytes:
            largest = max((body, *self._unfinished), key=lambda other: other.size)
            self._give_back(largest)
            self._leave(largest)
            if largest is body:
                raise self._over_budget()
            largest.refused = True
            if largest.time_limit is not None and not largest.time_limit.expired():
                largest.time_limit.reschedule(0.0)  # at once: its task wakes with a TimeoutError

    def _over_budget(self) -> Busy:
        return Busy(
            f"The bodies that this worker holds fill the {self._most_bytes} bytes meant for them (--body-memory): ask "
            "another worker, or this one again.",
            retry_after_s=1.0,
        )

    def _too_slow(self) -> TooSlow:
        return TooSlow(
            f"The body did not come in time: it may pause for {self._pause_s:g} s and take {self._total_s:g} s in all. "
            "Send a smaller image or over a faster connection, or start the worker with a larger --deadline."
        )


def check_length(request: IncomingRequest, *, limit_bytes: int) -> None:
    """Raise TooLarge for a body whose Content-Length exceeds the limit."""
    if (request.content_length or 0) > limit_bytes:
        raise too_large(limit_bytes)


def too_large(limit_bytes: int) -> TooLarge:
    """The refusal of a body of more than `limit_bytes`."""
    return TooLarge(
        f"The body is larger than {limit_bytes} bytes: send a smaller image, or start the worker with a larger "
        "--max-body."
    )


def _append(pieces: list[bytes], piece: bytes) -> None:
    if pieces and len(piece) < PIECE_BYTES and len(pieces[-1]) < PIECE_BYTES:
        pieces[-1] += piece
    else:
        pieces.append(piece)
