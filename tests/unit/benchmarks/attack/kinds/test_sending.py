"""How attackers send, and what they build."""

from __future__ import annotations

import asyncio
import gzip
import json
import time

from benchmarks.attack.kinds.bodies import form_of_heads, packed_list
from benchmarks.attack.kinds.sending import exchange, get, paced, put_json
from benchmarks.attack.kinds.unread import form_with_large_answer
from benchmarks.harness.processes import free_port


async def test_an_exchange_tells_the_status() -> None:
    """Parts are sent one after the other; where nobody answers, the error is named."""
    received = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.readuntil(b"end"))
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await exchange(port, b"first ", b"end") == "413"
    assert received == b"first end"
    assert await exchange(free_port(), b"x") == "ConnectionRefusedError"


async def test_a_rate_is_not_exceeded() -> None:
    """Numbers come from 0, with a pause between each two of them."""
    began_s, numbers = time.perf_counter(), []
    async for number in paced(1000.0):
        numbers.append(number)
        if number == 5:
            break
    assert numbers == list(range(6))
    assert time.perf_counter() - began_s >= 0.004


def test_requests_are_whole() -> None:
    """The length of a body is told in bytes, and lone surrogates can be sent."""
    assert get("/next", "A: b") == b"GET /next HTTP/1.1\r\nHost: 127.0.0.1\r\nA: b\r\n\r\n"
    head, _, body = put_json("/x", '"\ud800"').partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


def test_bodies_are_what_the_issue_describes() -> None:
    """A packed list of images of one pixel, a form of heads, and a form that fills the memory for bodies."""
    _, _, packed = packed_list(70).partition(b"\r\n\r\n")
    assert json.loads(gzip.decompress(packed)) == {"instances": [[[[0, 0, 0]]]] * 70}
    assert form_of_heads(3).count(b"Content-Disposition") == 3
    form = form_with_large_answer()
    assert 18_000_000 <= len(form) < 18_010_000
    assert form.startswith(b"POST /?top=1000 ")
