"""A worker that does what a test says: a real HTTP server, and functions that behave as workers in trouble do."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from tests.support.servers.fake_server import Server

Behaviour = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]
KEPT = web.RequestKey("kept", bool)  # whether the connection has carried a request before
JPEG = b"\xff\xd8\xff\xe0 as good as a photograph to a worker that does not look"
LABELS = [["tabby", 0.61], ["tiger cat", 0.3], ["lynx", 0.05], ["Egyptian cat", 0.02], ["cougar", 0.01]]


def sentence(status: int, text: str, **headers: str) -> web.Response:
    """An error as a worker words it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"error": text}, status=status, headers=named)


async def answer(request: web.Request, _body: bytes) -> web.StreamResponse:
    """What a healthy worker does."""
    return web.json_response(LABELS[: int(request.query["top"])])


async def hang(_request: web.Request, _body: bytes) -> web.StreamResponse:
    """What a stopped process does: the connection stands, nothing comes."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def reset(request: web.Request, _body: bytes) -> web.StreamResponse:
    """What a killed process does to a request under way: the connection is reset."""
    transport = request.transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    return web.Response()


async def reset_mid_response(request: web.Request, body: bytes) -> web.StreamResponse:
    """Half an answer, then a reset."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'[["tab')
    await reset(request, body)
    return response


async def hang_up_on_kept_connections(request: web.Request, body: bytes) -> web.StreamResponse:
    """What a server does whose idle limit has just passed: a connection used before is closed unread."""
    if request[KEPT]:
        request.transport.close()
        return web.Response()
    return await answer(request, body)


async def until_closed(request: web.Request) -> None:
    """Wait for the client to close the connection."""
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.005)


async def too_large(_request: web.Request, _body: bytes) -> web.StreamResponse:
    """A refusal before the body was read."""
    return sentence(413, "the image is larger than 32 MB: send a smaller one or start with --max-bytes")


@dataclass(frozen=True)
class Seen:
    """One request as a worker saw it."""

    headers: dict[str, str]
    query: dict[str, str]
    body: bytes
    connection: tuple[str, int]


class FakeWorker(Server):
    """A worker. `behave` is what it does with a request.

    `seen` holds the requests it has had; `answered` says how many it has done with.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        super().__init__(loop)
        self.id = name
        self.boot = f"boot-{name}"
        self.health = "passing"
        self.unreachable = ""
        self.behave: Behaviour = answer
        self.seen: list[Seen] = []
        self.answered = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        connection = request.transport.get_extra_info("peername")
        request[KEPT] = any(seen.connection == connection for seen in self.seen)
        body = await request.read() if self.behave is not too_large else b""
        self.seen.append(Seen(dict(request.headers), dict(request.query), body, connection))
        if request.headers.get("P2P-Boot", self.boot) != self.boot:
            return sentence(421, "not the worker you looked up: look up again")
        response = await self.behave(request, body)
        self.answered += 1
        return response
