"""The bodies of all requests of a worker come in here: bytes -> pieces, within a budget and in time.

A body's bytes count from their arrival until its request is answered. Where the next ones would exceed the budget,
the largest body that is still coming is refused: so a few that hold much cannot keep the many small ones out, and
a body that has come is never lost. A sender that pauses too long, or takes too long in all, is refused too.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from worker.errors import BadRequest, Overloaded, TooLarge, TooSlow
from worker.web.request import Asked, Content

PAUSE_S = 10.0
"""A sender from which nothing comes for so long is given up."""

PIECE_BYTES = 16 << 10
"""Smaller pieces are joined as they come: a body of single bytes must not cost more memory than another."""


@dataclass(slots=True, eq=False)
class _Coming:
    """A body that is being received: how much of it is here, and the clock that gives it up, once it is waited for."""

    patience: asyncio.Timeout | None = None
    size: int = 0
    refused: bool = False


class Receiving:
    """The bytes of request bodies that this worker holds: at most `most_bytes`, over all its connections.

    A body that is not here `total_s` after its request was read, or pauses for `pause_s`, is refused.
    """

    def __init__(self, *, most_bytes: int, total_s: float, pause_s: float = PAUSE_S) -> None:
        self.held_bytes = 0
        self._most_bytes = most_bytes
        self._total_s = total_s
        self._pause_s = min(pause_s, total_s)
        self._coming: set[_Coming] = set()
        self._none_coming = asyncio.Event()
        self._none_coming.set()

    async def finished(self, *, within_s: float) -> None:
        """Wait until no body is being received, but no longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._none_coming.wait()

    async def pieces(self, request: Asked, *, limit_bytes: int) -> list[bytes]:
        """The body of a request, in order, as it came; [] if it is empty. To be called in the request's own task.

        Raises TooLarge where it exceeds `limit_bytes` (without reading the rest), TooSlow, Overloaded where the
        budget is used up, BadRequest where the body's framing or compression is broken.
        """
        check_length(request, limit_bytes=limit_bytes)
        coming = self._enter()
        try:
            if not request.content.is_eof():
                return await self._waited_for(request.content, coming, limit_bytes)
            whole = request.content.read_nowait()  # as with most requests: here already, so without a clock
            self._take(coming, len(whole), limit_bytes)
            return [whole] if whole else []
        except TimeoutError:
            raise self._full() if coming.refused else self._too_slow() from None
        except web.RequestPayloadError as error:
            raise BadRequest(f"The body cannot be read as its headers describe it: {error}.") from error

    async def _waited_for(self, content: Content, coming: _Coming, limit_bytes: int) -> list[bytes]:
        """The pieces of a body that has not come whole; TimeoutError where they come too slowly or were refused."""
        clock = asyncio.get_running_loop().time
        end_s = clock() + self._total_s
        pieces: list[bytes] = []
        self._coming.add(coming)
        self._none_coming.clear()
        try:
            async with asyncio.timeout(self._pause_s) as coming.patience:
                while piece := await content.readany():
                    self._take(coming, len(piece), limit_bytes)
                    _append(pieces, piece)
                    coming.patience.reschedule(min(clock() + self._pause_s, end_s))
        finally:
            self._leave(coming)
        return pieces

    def _enter(self) -> _Coming:
        coming = _Coming()
        task = asyncio.current_task()
        assert task is not None  # we are in a coroutine
        task.add_done_callback(lambda _: self._give_back(coming))
        return coming

    def _leave(self, coming: _Coming) -> None:
        self._coming.discard(coming)
        if not self._coming:
            self._none_coming.set()

    def _give_back(self, coming: _Coming) -> None:
        self.held_bytes -= coming.size
        coming.size = 0

    def _take(self, coming: _Coming, count: int, limit_bytes: int) -> None:
        """Count bytes that have come. Raises TooLarge or Overloaded if they may not be kept."""
        coming.size += count
        self.held_bytes += count
        if coming.size > limit_bytes:
            raise too_large(limit_bytes)
        while self.held_bytes > self._most_bytes:
            largest = max((coming, *self._coming), key=lambda other: other.size)
            self._give_back(largest)
            self._leave(largest)
            if largest is coming:
                raise self._full()
            largest.refused = True
            if largest.patience is not None and not largest.patience.expired():
                largest.patience.reschedule(0.0)  # now: its task wakes up with a TimeoutError

    def _full(self) -> Overloaded:
        return Overloaded(
            f"The bodies that this worker holds fill the {self._most_bytes} bytes meant for them (--body-memory): ask "
            "another worker, or this one again.",
            retry_after_s=1.0,
        )

    def _too_slow(self) -> TooSlow:
        return TooSlow(
            f"The body did not come in time: it may pause for {self._pause_s:g} s and take {self._total_s:g} s in all. "
            "Send a smaller image or over a faster connection, or start the worker with a larger --deadline."
        )


def check_length(request: Asked, *, limit_bytes: int) -> None:
    """Raise TooLarge for a body that says itself that it exceeds the limit."""
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
