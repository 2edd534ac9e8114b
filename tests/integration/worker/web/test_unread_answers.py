"""Clients that send images and never read the answers: others are served as ever, and the worker ends when told to."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import signal
import socket
from contextlib import ExitStack

import aiohttp
from PIL import Image

from tests.support.command_process import command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until

CLIENTS = 14
ID_BYTES = 60_000
"""The answer repeats the id of its request: large answers fill the buffers of a connection soon."""

BLOCKED_S = 1.0
"""A client of which the worker has taken nothing for so long has filled all buffers with answers."""


def prediction() -> bytes:
    """A whole request to classify an image, with a long id."""
    data = base64.b64encode(bmp(2, 2)).decode()
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [data]}
    body = json.dumps({"id": "x" * ID_BYTES, "inputs": [tensor]}).encode()
    return b"POST /v2/models/unread/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def bmp(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "BMP")
    return file.getvalue()


async def fill(sock: socket.socket, message: bytes) -> int:
    """Send requests until the worker takes no more of them; how many bytes it has taken."""
    loop, sent = asyncio.get_running_loop(), 0
    taken_s = loop.time()
    while loop.time() - taken_s < BLOCKED_S:
        try:
            sent += sock.send(message[sent % len(message) :])
            taken_s = loop.time()
        except BlockingIOError:
            await asyncio.sleep(0.01)
    return sent


async def test_clients_that_never_read_cost_others_nothing(shared_consul: ConsulProcess) -> None:
    """14 connections full of answers that are not read: other images are answered at once, SIGTERM ends in seconds.

    The budget for bodies holds one body of each of these clients, and one image of another client.
    """
    port, request, image = free_port(), prediction(), bmp(300, 300)
    flags = ["--body-memory", str(CLIENTS * len(request) + (300 << 10)), "--max-body", str(512 << 10), "--drain", "0.5"]
    common = ["worker", "--engine", "echo", "--service", "unread", "--port", str(port), "--consul", shared_consul.url]
    async with command(*common, *flags) as process, aiohttp.ClientSession() as http:
        await until(lambda: "Serving unread on" in process.output, within_s=30)
        with ExitStack() as opened:
            socks = [opened.enter_context(socket.socket()) for _ in range(CLIENTS)]
            for sock in socks:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.connect(("127.0.0.1", port))
                sock.setblocking(False)
            sent = await asyncio.gather(*(fill(sock, request) for sock in socks))
            assert min(sent) > len(request), "each has been answered"
            assert socks[0].recv(12) == b"HTTP/1.1 200"
            for _ in range(20):
                async with asyncio.timeout(2), http.post(f"http://127.0.0.1:{port}/", data=image) as answer:
                    assert answer.status == 200
            process.send(signal.SIGTERM)
            assert await process.ended(within_s=10) == 0
