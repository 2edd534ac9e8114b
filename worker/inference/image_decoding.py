"""Encoded images -> decoded ones, in threads and until a deadline; an image that takes too long is blamed for it.

A thread cannot be stopped: its caller stops waiting at the deadline, and the worker is unfit while a thread stands
still. An image that cost a worker seconds is refused as too large, because another worker would fare no better.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

from worker.batching.queue import Image
from worker.errors import DeadlinePassed, TooLarge, WorkerError
from worker.images.decode import Share
from worker.system.cpu import usable_cores
from worker.system.loop_threads import LoopThreads

COSTLY_S = 5.0
"""An image whose decoding takes this long is refused; the limits of worker.images allow one second."""

STUCK_AFTER_S = 10.0
"""A single image that is decoded for longer than this means that decoding stands still."""


class ImageDecoding:
    """Decodes images of one model with `decode` in `threads`, which other models may share."""

    def __init__(self, threads: LoopThreads, decode: Callable[..., Image]) -> None:
        """`decode` takes the bytes and, where there are several cores, `threads.share`."""
        self._threads = threads
        self._decode = decode
        self._helped: tuple[Share, ...] = (threads.share,) if usable_cores() > 1 else ()
        self._since_s: dict[object, float] = {}  # since when each image is being decoded

    @property
    def moving(self) -> bool:
        """Whether no image is being decoded for far too long. From any thread."""
        now_s = time.monotonic()
        return all(now_s - since_s < STUCK_AFTER_S for since_s in tuple(self._since_s.values()))

    def in_time(self, data: bytes, *, deadline_s: float) -> Callable[[], Image]:
        """What decodes an image in the thread that calls it, with another's help; DeadlinePassed if it is late then."""
        return partial(self._decode_in_time, object(), data, deadline_s, *self._helped)

    async def decode_all(self, encoded: Sequence[bytes], *, deadline_s: float) -> list[Image]:
        """The images, in order; those that are cancelled or late before a thread is free are not decoded.

        Raises the first error of any image, DeadlinePassed at the deadline (monotonic), TooLarge instead where an
        image has been decoded for COSTLY_S or more by then.
        """
        jobs = [object() for _ in encoded]
        decoding = [
            self._threads.submit(self._decode_in_time, job, data, deadline_s)
            for job, data in zip(jobs, encoded, strict=True)
        ]
        # asyncio.timeout would cost each request 3 microseconds more, in front of an engine that is busy.
        end = asyncio.get_running_loop().call_later(
            max(0.0, deadline_s - time.monotonic()), self._end_late, jobs, decoding
        )
        try:
            return [await future for future in decoding]
        finally:
            end.cancel()
            for future in decoding:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # of several images only the first error is raised

    def _decode_in_time(self, job: object, data: bytes, deadline_s: float, *share: Share) -> Image:
        """In a thread: decode an image, unless it is too late."""
        since_s, spent_s = time.monotonic(), time.thread_time()
        if since_s > deadline_s:
            raise DeadlinePassed("The deadline passed before the image was decoded.")
        self._since_s[job] = since_s
        try:
            image = self._decode(data, *share)
        finally:
            del self._since_s[job]
        _check_costly(time.thread_time() - spent_s)
        return image

    def _end_late(self, jobs: Sequence[object], decoding: Sequence[asyncio.Future[Image]]) -> None:
        """At the deadline: the error of all images that are not decoded yet."""
        now_s = time.monotonic()
        error: WorkerError = DeadlinePassed("The deadline passed before the image was decoded.")
        try:
            _check_costly(max(now_s - self._since_s.get(job, now_s) for job in jobs))
        except TooLarge as costly:
            error = costly
        for future in decoding:
            if not future.done():
                future.set_exception(error)


def _check_costly(took_s: float) -> None:
    if took_s >= COSTLY_S:
        raise TooLarge(f"The image took more than {COSTLY_S:g} s to decode: save it again, smaller or as plain PNG.")
