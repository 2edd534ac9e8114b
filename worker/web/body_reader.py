"""A request's body becomes the encoded images in it: the `data` fields of a form, or the body as it is."""

from __future__ import annotations

from collections.abc import Sequence

from worker.errors import BadRequest, TooLarge
from worker.web.body_budget import Receiving, check_length
from worker.web.multipart import boundary_of, is_form, read_form
from worker.web.request import Asked

__all__ = ["check_length", "read_body", "read_images"]

FIELD = "data"
IMAGES_AT_MOST = 64


async def read_images(request: Asked, receiving: Receiving, *, limit_bytes: int) -> list[bytes]:
    """The encoded images of a request, in order, at least one.

    A `multipart/form-data` body gives its `data` fields, any other body is one image; a Content-Encoding that
    aiohttp knows is undone. Raises what `Receiving.pieces` raises, and BadRequest where nothing usable came.
    """
    content_type = request.headers.get("Content-Type", "")
    boundary = boundary_of(content_type) if is_form(content_type) else None
    pieces = await receiving.pieces(request, limit_bytes=limit_bytes)
    if boundary is not None:
        return _images(pieces, boundary)
    if not pieces:
        raise BadRequest(f"The body is empty: send an image, or a multipart field {FIELD!r} that holds one.")
    return [_joined(pieces)]


async def read_body(request: Asked, receiving: Receiving, *, limit_bytes: int) -> bytes:
    """The whole body of a request, perhaps empty; raises what `Receiving.pieces` raises."""
    return _joined(await receiving.pieces(request, limit_bytes=limit_bytes))


def _joined(pieces: Sequence[bytes]) -> bytes:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _images(pieces: Sequence[bytes], boundary: bytes) -> list[bytes]:
    images: list[bytes] = []
    others: list[str] = []
    for field in read_form(pieces, boundary, wanted=FIELD):
        if field.content is None:
            others.append(repr(field.name))
            continue
        if not field.content:
            raise BadRequest(f"The field {FIELD!r} is empty: is the file name right, and the file not empty?")
        if len(images) == IMAGES_AT_MOST:
            raise TooLarge(f"At most {IMAGES_AT_MOST} images are taken in one request: send several.")
        images.append(field.content)
    if not images:
        found = f"there is {', '.join(others[:5])}" if others else "there is none"
        raise BadRequest(f"No field {FIELD!r} in the form ({found[:200]}): send the image as {FIELD}=@cat.jpg.")
    return images
