"""A proxy with tokens: it checks the client's, and the worker gets the client's header unchanged."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from registry.security.access_settings import AccessSettings
from tests.support.lookups.running_proxy import exchange, proxy, worker
from tests.support.security.token_file import CLIENT, OPERATOR, bearer, write_tokens


@pytest.mark.parametrize(("token", "status"), [(CLIENT, 200), (OPERATOR, 200), ("wrong", 401), (None, 401)])
async def test_only_requests_with_a_token_are_sent_on(tmp_path: Path, token: str | None, status: int) -> None:
    """A right token goes on to the worker as it came; without one the worker hears nothing, whatever the path."""
    seen: list[str | None] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(text=await request.text())

    access = AccessSettings(write_tokens(tmp_path))
    async with worker(handle) as port, proxy(port, access=access) as url, aiohttp.ClientSession() as http:
        for path in ("/", "/metrics", "/healthz"):
            async with http.post(url + path, data=b"image", headers=bearer(token) if token else {}) as answer:
                assert answer.status == status
                assert answer.headers.get("WWW-Authenticate") == ('Bearer realm="p2p"' if status == 401 else None)
    assert seen == ([f"Bearer {token}"] * 3 if status == 200 else [])


async def test_a_refused_client_never_sends_its_body(tmp_path: Path) -> None:
    """`Expect: 100-continue` is answered with the 401."""
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"

    async def handle(_: web.Request) -> web.Response:
        return web.Response()

    async with worker(handle) as port, proxy(port, access=AccessSettings(write_tokens(tmp_path))) as url:
        said = await exchange(url, request + b"too early")
    assert said.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"100 Continue" not in said


async def test_without_tokens_the_header_only_passes_through() -> None:
    """A proxy that asks for no token judges none: that is the worker's."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=request.headers["Authorization"])

    async with (
        worker(handle) as port,
        proxy(port) as url,
        aiohttp.ClientSession() as http,
        http.get(url, headers=bearer("any")) as answer,
    ):
        assert (answer.status, await answer.text()) == (200, "Bearer any")
