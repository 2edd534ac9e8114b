"""The body of a request as the protocols want it: the encoded images in it, or its bytes; parsed off the event loop.

A `multipart/form-data` body gives its `data` fields, any other body is one image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from aiohttp import web

from worker.errors import BadRequest, TooLarge
from worker.web.access.request_permission import permission_of
from worker.web.body_budget import BodyBudget, check_length
from worker.web.image_limit import IMAGES_AT_MOST, too_many_images
from worker.web.large_json import SMALL_BYTES
from worker.web.multipart import boundary_of, is_form, read_form
from worker.web.request import IncomingRequest
from worker.web.responses import error_response, to_aiohttp

T = TypeVar("T")

FIELD = "data"

LOOP_BYTES = 4 << 20
"""Up to this size the event loop itself joins a body or cuts a form, in 4 ms at most."""

_THREADS = 2
"""Python runs the code of one thread at a time: more threads would only slow down the event loop."""


class BodyReader:
    """Reads bodies of at most `limit_bytes`, counted after decompression; all of them count in `budget`."""

    def __init__(self, limit_bytes: int, budget: BodyBudget) -> None:
        self._limit_bytes = limit_bytes
        self._budget = budget
        self._threads = asyncio.Semaphore(_THREADS)

    async def expect_continue(self, request: web.Request) -> web.Response | None:
        """`Expect: 100-continue`: ask for the body, or refuse at once one whose Content-Length is too large."""
        try:
            check_length(request, limit_bytes=self._limit_bytes)
        except TooLarge as error:
            response = to_aiohttp(error_response(error))
            response.force_close()  # the client may now send its body or not: only closing leaves no doubt
            return response
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the response itself has not begun
        return None

    async def images(self, request: IncomingRequest) -> list[bytes]:
        """The encoded images of a request, in order, at least one; a Content-Encoding that aiohttp knows is undone.

        Raises what `BodyBudget.pieces` raises, BadRequest where there is no image, TooLarge where there are too many.
        """
        content_type = request.headers.get("Content-Type", "")
        boundary = boundary_of(content_type) if is_form(content_type) else None
        pieces = await self._pieces(request)
        if boundary is not None:
            size_bytes = sum(map(len, pieces))
            return await self.off_loop(size_bytes, partial(_images_of_form, pieces, boundary), loop_bytes=LOOP_BYTES)
        if not pieces:
            raise BadRequest(f"The body is empty: send an image, or a multipart field {FIELD!r} that holds one.")
        return [await self._joined(pieces)]

    async def body(self, request: web.Request) -> bytes:
        """The whole body of a request that is not a form; BadRequest where it is one, or is empty."""
        if request.content_type.startswith("multipart/"):
            raise BadRequest(f"A form is not taken at {request.path}: POST it to /.")
        body = await self._joined(await self._pieces(request))
        if not body:
            raise BadRequest("The body is empty: /openapi.json describes what is taken here.")
        return body

    async def off_loop(self, size_bytes: int, work: Callable[[], T], *, loop_bytes: int = SMALL_BYTES) -> T:
        """The result of `work` on a body of that size; above `loop_bytes` it runs in a thread, two of them at a time.

        A thread cannot be stopped: where the caller is cancelled, the cancellation waits for the end of `work`, so
        that neither its place among the threads nor its bytes in the budget are given to another too early.
        """
        if size_bytes <= loop_bytes:
            return work()
        async with self._threads:
            thread = asyncio.ensure_future(asyncio.to_thread(work))
            try:
                return await asyncio.shield(thread)
            except asyncio.CancelledError:
                await asyncio.gather(asyncio.shield(thread), return_exceptions=True)
                raise
            finally:
                del thread  # it holds the error of `work`, whose traceback holds this frame

    async def _pieces(self, request: IncomingRequest) -> list[bytes]:
        limit_bytes = permission_of(request).limits.max_body_bytes
        if limit_bytes is None or limit_bytes >= self._limit_bytes:
            return await self._budget.pieces(request, limit_bytes=self._limit_bytes)
        try:
            return await self._budget.pieces(request, limit_bytes=limit_bytes)
        except TooLarge:
            raise TooLarge(f"The body is larger than the {limit_bytes} bytes that its ticket allows.") from None

    async def _joined(self, pieces: Sequence[bytes]) -> bytes:
        if len(pieces) == 1:
            return pieces[0]
        return await self.off_loop(sum(map(len, pieces)), partial(b"".join, pieces), loop_bytes=LOOP_BYTES)


def _images_of_form(pieces: Sequence[bytes], boundary: bytes) -> list[bytes]:
    images: list[bytes] = []
    others: list[str] = []
    for field in read_form(pieces, boundary, wanted=FIELD):
        if field.content is None:
            others.append(repr(field.name))
            continue
        if not field.content:
            raise BadRequest(f"The field {FIELD!r} is empty: is the file name right, and the file not empty?")
        if len(images) == IMAGES_AT_MOST:
            raise too_many_images()
        images.append(field.content)
    if not images:
        found = f"there is {', '.join(others[:5])}" if others else "there is none"
        raise BadRequest(f"No field {FIELD!r} in the form ({found[:200]}): send the image as {FIELD}=@cat.jpg.")
    return images
