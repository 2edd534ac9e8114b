"""A request's body becomes the encoded images in it: multipart fields or the raw body, within the size limit."""

from __future__ import annotations

from aiohttp import BodyPartReader, web

from worker.errors import BadRequest, TooLarge

FIELD = "data"
IMAGES_AT_MOST = 64


async def read_images(request: web.Request, *, limit_bytes: int) -> list[bytes]:
    """The encoded images of a request, in order, at least one.

    A `multipart/form-data` body gives its `data` fields, any other body is one image. Raises TooLarge where the
    whole body exceeds `limit_bytes` (without reading the rest), BadRequest where nothing usable came.
    """
    check_length(request, limit_bytes=limit_bytes)
    if request.content_type.startswith("multipart/"):
        return await _read_fields(request, limit_bytes=limit_bytes)
    return [await _read_raw(request, limit_bytes=limit_bytes)]


def check_length(request: web.Request, *, limit_bytes: int) -> None:
    """Raise TooLarge for a body that says itself that it exceeds the limit."""
    if (request.content_length or 0) > limit_bytes:
        raise _too_large(limit_bytes)


async def _read_raw(request: web.Request, *, limit_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        chunks.append(chunk)
    if not size:
        raise BadRequest(f"The body is empty: send an image, or a multipart field {FIELD!r} that holds one.")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _read_fields(request: web.Request, *, limit_bytes: int) -> list[bytes]:
    images: list[bytes] = []
    others: list[str] = []
    left = limit_bytes
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise BadRequest("A multipart body within a multipart body is not taken: send the fields flat.")
            data = await _read_part(part, left, limit_bytes)
            left -= len(data)
            if part.name == FIELD:
                images.append(_not_empty(data))
            else:
                others.append(repr(part.name or ""))
            if len(images) > IMAGES_AT_MOST:
                raise TooLarge(f"At most {IMAGES_AT_MOST} images are taken in one request: send several.")
    except (ValueError, AssertionError, LookupError, RuntimeError, web.HTTPException) as error:
        raise BadRequest(f"The multipart body is broken: {error}.") from error
    if not images:
        found = f"there is {', '.join(others[:5])}" if others else "there is none"
        raise BadRequest(f"No field {FIELD!r} in the form ({found}): send the image as {FIELD}=@cat.jpg.")
    return images


async def _read_part(part: BodyPartReader, left: int, limit_bytes: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk(1 << 16):
        data += chunk
        if len(data) > left:
            raise _too_large(limit_bytes)
    return bytes(data)


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise BadRequest(f"The field {FIELD!r} is empty: is the file name right, and the file not empty?")
    return data


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than {limit_bytes} bytes: send a smaller image, or start the worker with a larger "
        "--max-body."
    )
