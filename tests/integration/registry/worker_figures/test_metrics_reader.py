"""How a worker is asked for its metrics: over TLS, with a token where it wants one, and never for longer than told."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from registry.instances.instance import Instance
from registry.runtime.tls.trust import TrustFiles
from registry.worker_figures.metrics_reader import MetricsReader, metrics_session
from tests.support.security.certificates import Authority

PAGE = 'p2p_worker_requests_in_flight 1.0\np2p_worker_requests_total{model="cats",status="200"} 7.0\n'


@asynccontextmanager
async def worker(app: web.Application, *, tls: ssl.SSLContext | None = None, auth: str = "") -> AsyncIterator[Instance]:
    """A server that is registered as a worker of `cats`."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    meta = {"scheme": "https" if tls else "http", "auth": auth}
    try:
        yield Instance("cats", "c", "127.0.0.1", runner.addresses[0][1], meta=meta)
    finally:
        await runner.cleanup()


def answering(*responses: web.Response) -> tuple[web.Application, list[str | None]]:
    """An application with these answers in turn, and the Authorization headers that came."""
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return responses[len(seen) - 1]

    app = web.Application()
    app.router.add_get("/metrics", answer)
    return app, seen


async def test_a_worker_with_tls_is_asked_over_tls(tmp_path: Path) -> None:
    """With the authority that signed its certificate there are metrics, without it a fault; files may change."""
    authority = Authority(tmp_path)
    pem = authority.sign("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem.cert, pem.key)
    trust: ssl.SSLContext | bool = True
    app, _ = answering(*(web.Response(text=PAGE) for _ in range(2)))
    async with worker(app, tls=context) as instance, metrics_session() as http:
        reader = MetricsReader(http, token=None, verification=lambda: trust)
        refused = await reader.read(instance)
        assert refused.counts is None
        assert "certificate" in refused.fault
        trust = TrustFiles(authority.ca).verification()
        found = await reader.read(instance)
        assert found.counts is not None
        assert found.counts.requests == 7


@pytest.mark.parametrize(("auth", "sent"), [("", None), ("token", "Bearer secret"), ("ticket", "Bearer secret")])
async def test_a_token_goes_to_workers_that_want_one(auth: str, sent: str | None) -> None:
    """A stranger's registration, which asks for nothing, collects no tokens."""
    app, seen = answering(web.Response(text=PAGE))
    async with worker(app, auth=auth) as instance, metrics_session() as http:
        reading = await MetricsReader(http, token="secret", verification=lambda: True).read(instance)
    assert reading.fault == ""
    assert seen == [sent]


async def test_what_is_no_page_of_metrics_is_a_fault_in_words() -> None:
    """Another status, another text, a redirect, nobody at the port: the worker has told nothing, for that reason."""
    app, _ = answering(
        web.Response(status=401),
        web.Response(text="<html>"),
        web.Response(status=302, headers={"Location": "/metrics"}),
        web.Response(body=b"\xff\xfe"),
    )
    async with metrics_session() as http:
        reader = MetricsReader(http, token=None, verification=lambda: True)
        async with worker(app) as instance:
            faults = [(await reader.read(instance)).fault for _ in range(4)]
        closed = await reader.read(instance)
    assert faults[0] == "it answered 401"
    assert "its metrics cannot be read" in faults[1]
    assert faults[2] == "it answered 302"
    assert "its metrics cannot be read" in faults[3]
    assert closed.counts is None
    assert closed.fault
