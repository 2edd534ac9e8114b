"""A server that receives images and drops them, in place of a worker where only the network is measured.

    p2p exec --service images -- python -m benchmarks.network.sink_server {port} --host 10.0.0.2

It answers 200 to a request once as many bytes have come as its Content-Length says. On links of 1,500-byte packets a
worker wakes up hundreds of times for each megabyte; this server does as little as possible each time.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from typing import cast

import uvloop

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n[["sink", 1.0]]'
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Sink(asyncio.BufferedProtocol):
    """A connection whose heads are read, and whose bodies are counted and dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray(1 << 18)
        self._head = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._left > nbytes:
            self._left -= nbytes
            return
        self._read(bytes(self._buffer[:nbytes]))

    def _read(self, data: bytes) -> None:
        if self._left:
            data, self._left = data[self._left :], 0
            self._transport.write(ANSWER)
        head, end, rest = (self._head + data).partition(b"\r\n\r\n")
        if not end:
            self._head = head
            return
        self._head = b""
        length = _LENGTH.search(head + b"\r\n")
        self._left = int(length[1]) if length else 0
        if self._left > len(rest):
            self._left -= len(rest)
        elif self._left:
            self._read(rest)
        else:
            self._transport.write(ANSWER)


async def serve(host: str, port: int) -> None:
    """Answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Sink, host, port)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    uvloop.run(serve(options.host, options.port))


if __name__ == "__main__":
    main()
