"""Images are decoded until the deadline; one that takes far too long is refused, and fails the heartbeat meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.waiting import until
from worker.batching.queue import Image
from worker.errors import BadRequest, DeadlinePassed, TooLarge
from worker.inference import image_decoding
from worker.inference.image_decoding import ImageDecoding
from worker.system.loop_threads import LoopThreads

DOT: Image = np.zeros((1, 1, 3), np.uint8)


@pytest.fixture
def threads() -> Iterator[LoopThreads]:
    threads = LoopThreads(1, name="decode")
    try:
        yield threads
    finally:
        threads.close()


class Held:
    """A decoder that waits until it is let go, and a set of what it was given."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.seen: list[bytes] = []

    def __call__(self, data: bytes) -> Image:
        self.seen.append(data)
        self.go.wait(10)
        return DOT


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()


def in_s(seconds: float) -> float:
    return time.monotonic() + seconds


async def test_a_caller_is_answered_at_its_deadline_though_decoding_goes_on(threads: LoopThreads, held: Held) -> None:
    """At the deadline the caller gets DeadlinePassed; an image that waits for the thread is not decoded any more."""
    decoding = ImageDecoding(threads, held)
    with pytest.raises(DeadlinePassed):
        await decoding.decode_all([b"one", b"two"], deadline_s=in_s(0.5))
    held.go.set()
    assert await decoding.decode_all([b"three"], deadline_s=in_s(10)) == [DOT]
    assert held.seen == [b"one", b"three"]


async def test_an_image_that_cost_its_worker_the_time_is_refused(
    threads: LoopThreads, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal is a 413, which no client sends to another worker, at the deadline or when decoding ends late."""
    monkeypatch.setattr(image_decoding, "COSTLY_S", 0.0)
    decoding = ImageDecoding(threads, held)
    with pytest.raises(TooLarge, match="took more than 0 s to decode"):
        await decoding.decode_all([b"one"], deadline_s=in_s(0.05))
    held.go.set()
    with pytest.raises(TooLarge, match="took more than 0 s to decode"):
        await decoding.decode_all([b"two"], deadline_s=in_s(10))


async def test_decoding_that_stands_still_is_not_moving(
    threads: LoopThreads, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an image is decoded for too long the worker is unfit; afterwards it is fit again."""
    decoding = ImageDecoding(threads, held)
    asked = asyncio.create_task(decoding.decode_all([b"one"], deadline_s=in_s(10)))
    await until(lambda: held.seen == [b"one"])
    assert decoding.moving
    monkeypatch.setattr(image_decoding, "STUCK_AFTER_S", 0.0)
    assert not decoding.moving
    held.go.set()
    await asked
    assert decoding.moving


async def test_an_error_of_an_image_is_raised_and_leaves_no_trace(threads: LoopThreads) -> None:
    """The error of the decoder is the caller's, and the image counts as decoded."""

    def damaged(_: bytes) -> Image:
        raise BadRequest("damaged")

    decoding = ImageDecoding(threads, damaged)
    with pytest.raises(BadRequest):
        await decoding.decode_all([b"one", b"two"], deadline_s=in_s(10))
    assert decoding.moving
