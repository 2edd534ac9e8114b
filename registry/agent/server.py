"""The agent's HTTP server: reads requests, writes responses, and starts and stops the whole agent.

As in Consul, a path that is not clean is redirected to the one that is, and a method that a path does not have is
answered 405 with a list of those it has. Every refusal is a status and one sentence of plain text.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import string
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from urllib.parse import quote

from aiohttp import web

from registry.agent.agent import Agent
from registry.agent.api.formats.message import Query, Request, Response, decoded, text_response
from registry.agent.api.routes import Routes, clean, route, routes
from registry.agent.errors import ApiError, BadRequest, NotLoopback, PortTaken
from registry.agent.state.records import Node
from registry.runtime.address import server_url
from registry.runtime.aiohttp_logging import quiet_logger
from registry.runtime.connections.open_connections import bounded_connections, connections_at_most
from registry.runtime.connections.request_handler import BoundedConnection
from registry.runtime.connections.serving import serving
from registry.runtime.errors import SettingsError
from registry.runtime.listen import bind
from registry.runtime.processes import open_files
from registry.runtime.tls.server import TlsFiles, serving_tls
from registry.runtime.tls.trust import TrustFiles

logger = logging.getLogger(__name__)

VERSION = "1.8.7+embedded"
"""What the agent says it is: the Consul whose API it speaks, and that it is not that Consul."""

_MAX_BODY_BYTES = 512 * 1024
# A client that stops in the middle of a body is answered 408.
_BODY_TIMEOUT_S = 10.0
_SHUTDOWN_S = 0.5

FILES_ASIDE = 128
"""Files besides those of the clients' connections: those of checks, new connections, the process's own."""

_BROKEN_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True)
class RunningAgent:
    """Where an agent listens: `port` is the one really bound."""

    host: str
    port: int
    tls: bool = False

    @property
    def url(self) -> str:
        """The agent's address as CONSUL_HTTP_ADDR wants it."""
        return server_url(self.host, self.port, tls=self.tls)


@asynccontextmanager
async def serve_agent(
    *, host: str, port: int, tls_files: TlsFiles | None = None, check_trust: TrustFiles | None = None
) -> AsyncIterator[RunningAgent]:
    """Run an agent on a loopback `host` and `port` (0: any free one) while the context is open.

    Leaving it answers the clients that still wait, stops every check and closes the port. Without `tls_files` it speaks
    plain HTTP; `check_trust` is what checks trust of servers and show to them. Raises NotLoopback and PortTaken, and
    SettingsError where a file is unusable.
    """
    check_tls = (check_trust or TrustFiles()).verification()
    at_most = connections_at_most(open_files.limit(), aside=FILES_ASIDE)
    requests_log = quiet_logger(f"{__name__}.requests")
    async with serving_tls(tls_files) as tls:
        listener = await _listen(host, port)
        address, bound = listener.getsockname()[:2]
        running = RunningAgent(host=address, port=bound, tls=tls is not None)
        async with (
            Agent(node=_own_node(address), port=bound, version=VERSION, check_tls=check_tls) as agent,
            bounded_connections(at_most=at_most) as connections,
        ):
            handler = partial(_respond, routes(agent, waiting_at_most=at_most * 3 // 4))
            # Without handler_cancellation the read of a client that went away would go on waiting.
            runner = web.ServerRunner(web.Server(handler, handler_cancellation=True), shutdown_timeout=_SHUTDOWN_S)
            make = partial(BoundedConnection, connections=connections, access_log=None, logger=requests_log)
            async with serving(runner, listener, connections, make, tls=tls):
                logger.info(
                    "Embedded Consul agent on %s: in memory only, no access control, this machine only.", running.url
                )
                try:
                    yield running
                finally:
                    agent.state.changes.close()


def _own_node(address: str) -> Node:
    version = f"ipv{ip_address(address).version}"
    return Node(
        id=str(uuid.uuid4()),
        name=socket.gethostname(),
        address=address,
        tagged_addresses=dict.fromkeys(("lan", f"lan_{version}", "wan", f"wan_{version}"), address),
        meta={"consul-network-segment": ""},
    )


async def _listen(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address that `host` stands for."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotLoopback(f"{host} is not an address of this machine ({error}): use 127.0.0.1.") from error
    if not all(ip_address(address[0]).is_loopback for *_, address in found):
        raise NotLoopback(
            f"The embedded agent has no access control and listens on loopback addresses only, not on {host}: "
            "use 127.0.0.1, or a real Consul if other machines must reach it."
        )
    *_, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    try:
        return bind(str(address[0]), port)
    except SettingsError as error:
        raise PortTaken(str(error)) from error


async def _respond(table: Routes, request: web.BaseRequest) -> web.Response:
    try:
        answer = await _answer(table, request)
    except ApiError as refusal:
        answer = text_response(refusal.status, str(refusal), refusal.headers)
    response = web.Response(status=answer.status, body=answer.body, headers=answer.headers)
    if isinstance(request.protocol, BoundedConnection) and request.protocol.draining:
        response.force_close()
    return response


async def _answer(table: Routes, request: web.BaseRequest) -> Response:
    raw, _, query = request.raw_path.partition("?")
    if not raw.startswith("/") or _BROKEN_ESCAPE.search(raw):
        raise BadRequest("The request's target is not a path with well-formed %-escapes.")
    path = decoded(raw)
    if not path.isprintable():  # as in Consul; besides, a header of the response may contain an id
        raise BadRequest("The path holds characters that cannot be printed.")
    found = route(table, path)
    if clean(path) != path or (found != path and f"{path}/" in table):
        target = clean(path) if clean(path) != path else f"{path}/"
        query = quote(query.encode("utf-8", errors="surrogateescape"), safe=string.punctuation)
        return Response(301, headers={"Location": quote(target) + (f"?{query}" if query else "")})
    if found is None:
        return Response(404)
    handlers = table[found]
    allowed = {"Allow": ",".join(["OPTIONS", *handlers])}
    if request.method == "OPTIONS":
        return Response(headers=allowed)
    if request.method not in handlers:
        raise ApiError(405, f"method {request.method} not allowed", headers=allowed)
    call = Request(
        request.method, path, path.removeprefix(found), Query(query), await _body(request), request.remote or ""
    )
    return await handlers[request.method](call)


async def _body(request: web.BaseRequest) -> bytes:
    """The request's body. Raises ApiError if it is too large or does not come."""
    announced = request.content_length or 0
    if announced <= _MAX_BODY_BYTES:
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                body = await request.read()
        except TimeoutError:
            raise ApiError(408, f"The body did not arrive within {_BODY_TIMEOUT_S:g} s.") from None
        announced = len(body)
        if announced <= _MAX_BODY_BYTES:
            return body
    raise ApiError(
        413,
        f"Request body({announced} bytes) too large, max size: {_MAX_BODY_BYTES} bytes.",
        headers={"Connection": "close"},
    )
