"""Many images: order, errors, limits, from a loop and from a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import numpy as np
import pytest
from PIL import Image

from p2pclient import AsyncClient, BadImage, Client, WorkerFailed
from p2pclient.concurrency.concurrent_map import WINDOW


@pytest.fixture
def busy(fleet):
    """Workers that take their time for what says "slow" and refuse what says "bad"."""

    async def by_content(request, body):
        if b"slow" in body:
            await asyncio.sleep(0.2)
        return fleet.sentence(400, "no image: send a JPEG") if b"bad" in body else await fleet.answer(request, body)

    for worker in fleet.add(2):
        worker.behave = by_content
    return fleet


IMAGES = [b"slow", b"bad", b"quick", 3, "nowhere.jpg", b"last"]


def checked(results, *, ordered):
    if ordered:
        assert [result.index for result in results] == list(range(len(IMAGES)))
    else:
        assert results[-1].index == 0
        results = sorted(results, key=lambda result: result.index)
    assert [result.image for result in results] == IMAGES
    errors = [type(result.error) for result in results]
    assert errors == [type(None), BadImage, type(None), TypeError, FileNotFoundError, type(None)]
    assert all((result.classification is None) == (result.error is not None) for result in results)


@pytest.mark.parametrize("ordered", [True, False])
async def test_one_bad_image_stops_nothing(busy, ordered):
    """Each image gives one result, in order or as finished, and what is wrong with it is part of it."""

    async def images():
        for image in IMAGES:
            yield image

    async with AsyncClient(busy.url) as client:
        for source in (IMAGES, images()):
            checked([result async for result in client.classify_many(source, ordered=ordered)], ordered=ordered)


@pytest.mark.parametrize("ordered", [True, False])
def test_the_blocking_client_does_the_same(busy, ordered):
    """The same from a thread; the images are taken in the thread that fetches the results."""
    threads = set()

    def images():
        for image in IMAGES:
            threads.add(threading.get_ident())
            yield image

    with Client(busy.url) as client:
        checked(list(client.classify_many(images(), ordered=ordered)), ordered=ordered)
    assert threads == {threading.get_ident()}


async def test_nothing_is_read_ahead_of_need(fleet):
    """Two at a time means that a third image is taken when one of two is answered, however many there are."""
    (worker,) = fleet.add()
    worker.behave = fleet.hang
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield b"image"

    async with AsyncClient(fleet.url) as client:
        async with contextlib.aclosing(client.classify_many(endless(), concurrency=2)) as results:
            first = asyncio.ensure_future(anext(results))
            await asyncio.to_thread(fleet.until, lambda: len(worker.seen) == 2)
            assert taken == 2
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        worker.behave = fleet.answer
        with Client(fleet.url) as blocking:
            taken = 0
            results = blocking.classify_many(endless(), concurrency=2)
            for _ in range(3):
                await asyncio.to_thread(next, results)
            assert taken <= 3 + 2 * WINDOW  # finished ones may wait for a slower one before them
            results.close()


async def test_a_failing_service_fails_each_image(fleet):
    """What is wrong with the workers is told for each image, not once for all."""
    fleet.add()[0].behave = fleet.answers(500, "the model broke")
    async with AsyncClient(fleet.url, attempts=1) as client:
        results = [result async for result in client.classify_many([b"a", b"b"])]
    assert [type(result.error) for result in results] == [WorkerFailed] * 2


async def test_what_cannot_be_meant_is_refused(fleet):
    """No image at a time, and no label, are errors of the caller and not of each image."""
    async with AsyncClient(fleet.url) as client:
        for options in ({"concurrency": 0}, {"top": 0}):
            with pytest.raises(ValueError, match="1 or more"):
                await anext(client.classify_many([b"a"], **options))
    with Client(fleet.url) as blocking, pytest.raises(ValueError, match="1 or more"):
        blocking.classify_many([b"a"], concurrency=0)


async def test_arrays_and_pillow_images_are_sent(fleet):
    """Pixels arrive as a PNG."""
    (worker,) = fleet.add()
    pixels = np.zeros((4, 5, 3), np.uint8)
    async with AsyncClient(fleet.url) as client:
        for image in (pixels, Image.fromarray(pixels)):
            await client.classify(image)
    assert {seen.headers["Content-Type"] for seen in worker.seen} == {"image/png"}
