"""An HTTP relay between the Consul agent and those who ask it, which lies when an attack orders it to.

    python -m benchmarks.attack.relay PORT AGENT_PORT

It passes requests and answers on unchanged until `PUT /lie/NAME`; `PUT /lie/none` ends the lie. Some lies are answers
to questions for the instances of a service, the others redirect every request to `/thief`; `GET /stolen` tells how
many redirected requests and tokens arrived there.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

HEALTH = "/v1/health/service/"
REDIRECTS = {"301": 301, "302": 302, "307": 307, "308": 308}
NONE = "none"

_HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive", "host", "content-encoding"}
_UNPACKED_BYTES = 1 << 30

Entries = list[dict[str, Any]]


def _with_weight(weight: float) -> Callable[[Entries], bytes]:
    """The true entries, the first of them with another weight."""

    def lie(entries: Entries) -> bytes:
        for entry in entries[:1]:
            entry["Service"]["Weights"] = {"Passing": weight, "Warning": weight}
        return json.dumps(entries).encode()

    return lie


def _with_address(entries: Entries) -> bytes:
    """The true entries, the first of them with a number for an address."""
    for entry in entries[:1]:
        entry["Service"]["Address"] = 5
    return json.dumps(entries).encode()


def packed_zeros(size_bytes: int = _UNPACKED_BYTES) -> bytes:
    """A gzip stream that unpacks to so many zeros, whole megabytes of them."""
    zeros, megabytes = bytes(1 << 20), size_bytes >> 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)  # the same bytes for each megabyte
    checksum = 0
    for _ in range(megabytes):
        checksum = zlib.crc32(zeros, checksum)
    header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return header + block * megabytes + packer.flush() + struct.pack("<II", checksum, (megabytes << 20) & 0xFFFFFFFF)


ANSWERS: dict[str, Callable[[Entries], bytes]] = {
    "nested 100,000 deep": lambda _: b"[" * 100_000,
    "weight 2^50": _with_weight(2**50),
    "weight Infinity": _with_weight(float("inf")),
    "address 5": _with_address,
    "not JSON": lambda _: b"\xff\xfe\0",
}
"""What each lie about the instances of a service is, made of the true entries."""

GZIP = "1 GB as gzip"
LIES = (*ANSWERS, GZIP)


class Relay:
    """Passes requests on to the agent at `agent_url`, unless a lie is ordered."""

    def __init__(self, agent_url: str, session: ClientSession, packed: bytes) -> None:
        self._agent_url = agent_url
        self._session = session
        self._packed = packed
        self._lie = NONE
        self._lie_changed = asyncio.Event()
        self._stolen = Counter[str]()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.path.startswith("/lie/"):
            self._order(request.match_info["path"].partition("/")[2])
            return web.Response()
        if request.path == "/stolen":
            return web.json_response(self._stolen)
        if request.path == "/thief":
            self._stolen.update(["requests"] + ["tokens"] * ("X-Consul-Token" in request.headers))
            return web.json_response([])
        if status := REDIRECTS.get(self._lie):
            return web.Response(status=status, headers={"Location": f"http://localhost:{request.url.port}/thief"})
        if not request.path.startswith(HEALTH):
            return await self._pass_on(request)
        return await self._answer_health(request)

    def _order(self, lie: str) -> None:
        self._lie = lie
        changed, self._lie_changed = self._lie_changed, asyncio.Event()
        changed.set()

    async def _answer_health(self, request: web.Request) -> web.StreamResponse:
        """The agent's answer; at once, and a lie, if one is ordered or gets ordered while the agent waits."""
        if self._lie == NONE:
            asked = asyncio.create_task(self._pass_on(request))
            changed = asyncio.create_task(self._lie_changed.wait())
            try:
                await asyncio.wait((asked, changed), return_when=asyncio.FIRST_COMPLETED)
                if asked.done() or self._lie == NONE:
                    return await asked
            finally:
                changed.cancel()
                if not asked.done():
                    asked.cancel()
        async with self._session.get(self._agent_url + request.path) as answer:
            entries, index = await answer.json(), int(answer.headers["X-Consul-Index"])
        # With an older index the next question is answered at once, by the truth if the lie is over.
        headers = {"Content-Type": "application/json", "X-Consul-Index": str(index - 1), "X-Consul-KnownLeader": "true"}
        if self._lie == GZIP:
            return web.Response(body=self._packed, headers=headers | {"Content-Encoding": "gzip"})
        lie = ANSWERS.get(self._lie)
        return web.Response(body=lie(entries), headers=headers) if lie else web.Response(status=500)

    async def _pass_on(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        body = await request.read()
        url = self._agent_url + request.path_qs
        async with self._session.request(request.method, url, headers=headers, data=body) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())


async def serve(port: int, agent_port: int) -> None:
    """Relay until cancelled."""
    packed = await asyncio.to_thread(packed_zeros)
    async with ClientSession(timeout=ClientTimeout(), connector=TCPConnector(limit=0)) as session:
        relay = Relay(f"http://127.0.0.1:{agent_port}", session, packed)
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", relay.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
