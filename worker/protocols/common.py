"""What every protocol does with a request, whatever its words: its time, its body, its images to scores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from worker.batching.queue import Image, Scores
from worker.errors import BadRequest, TooLarge
from worker.inference.predictor import Predictor
from worker.web.body_budget import Receiving
from worker.web.body_reader import IMAGES_AT_MOST, check_length, read_body, read_images
from worker.web.large_json import SMALL_BYTES
from worker.web.refusals import refused
from worker.web.request import Asked
from worker.web.responses import as_response

T = TypeVar("T")

_THREADS = 2  # of Python code only one runs at a time: more would but take turns from those who answer

Images = list[bytes] | list[Image]
"""Of one request: all of them encoded, or all of them pixels."""


def timeout_s(request: Asked) -> float | None:
    """What the caller has left, from the header `P2P-Timeout-Ms`; None where it does not say."""
    text = request.headers.get("P2P-Timeout-Ms")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadRequest(f"P2P-Timeout-Ms: {text[:40]} cannot be used: give whole milliseconds.")
    return int(text) / 1000


class Bodies:
    """Bodies of at most `limit_bytes`, counted after decompression, and the work of reading them.

    All of them come in through `receiving`.
    """

    def __init__(self, limit_bytes: int, receiving: Receiving) -> None:
        self._limit_bytes = limit_bytes
        self._receiving = receiving
        self._turns = asyncio.Semaphore(_THREADS)

    async def expected(self, request: web.Request) -> web.Response | None:
        """`Expect: 100-continue`: ask for the body, or refuse at once one that says itself that it is too large."""
        try:
            check_length(request, limit_bytes=self._limit_bytes)
        except TooLarge as error:
            answer = as_response(refused(error))
            answer.force_close()  # the client may now keep its body or send it: only closing leaves no doubt
            return answer
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
        return None

    async def images(self, request: Asked) -> list[bytes]:
        """The encoded images of a request, in order, at least one; raises what `read_images` raises."""
        return await read_images(request, self._receiving, limit_bytes=self._limit_bytes)

    async def body(self, request: web.Request) -> bytes:
        """The whole body of a request that is not a form; BadRequest where it is, or where there is none."""
        if request.content_type.startswith("multipart/"):
            raise BadRequest(f"A form is not taken at {request.path}: POST it to /.")
        body = await read_body(request, self._receiving, limit_bytes=self._limit_bytes)
        if not body:
            raise BadRequest("The body is empty: /openapi.json describes what is taken here.")
        return body

    async def off_loop(self, size_bytes: int, work: Callable[[], T]) -> T:
        """What `work` makes of a body; of a large one in a thread, so that others are answered meanwhile."""
        if size_bytes <= SMALL_BYTES:
            return work()
        async with self._turns:
            return await asyncio.to_thread(work)


async def scores_of(predictor: Predictor, images: Images, *, deadline_s: float) -> list[Scores]:
    """The scores [classes] of each image, in order."""
    encoded = [image for image in images if isinstance(image, bytes)]
    if encoded:
        return await predictor.predict(encoded, deadline_s=deadline_s)
    return await predictor.predict_arrays(
        [image for image in images if not isinstance(image, bytes)], deadline_s=deadline_s
    )


def of_one_kind(images: list[bytes | Image]) -> Images:
    """The images of a request, which must be at least one, not too many, and all encoded or all pixels."""
    check_count(len(images))
    encoded = [image for image in images if isinstance(image, bytes)]
    arrays = [image for image in images if not isinstance(image, bytes)]
    if encoded and arrays:
        raise BadRequest("Some images are encoded and some are pixels: send all of them alike.")
    return encoded or arrays


def check_count(count: int) -> None:
    """Raise BadRequest for no image, TooLarge for more than are taken in one request."""
    if count < 1:
        raise BadRequest("The request holds no image: send at least one.")
    if count > IMAGES_AT_MOST:
        raise TooLarge(f"At most {IMAGES_AT_MOST} images are taken in one request: send several.")
