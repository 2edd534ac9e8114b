"""A refused token: an error of the set-up, or an agent that reaches no server to ask about it?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

import worker.registration
from registry.consul.catalog import Checks
from registry.consul.errors import TokenRefused
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from tests.support.waiting import until
from worker.registration import Registration

WORKER = Instance("classify", "classify-127.0.0.1-9001", "127.0.0.1", 9001, boot="boot1")


class Agent:
    """As much of an agent as it takes to refuse: what 1.8.7 answers, word for word."""

    def __init__(self) -> None:
        self.leads = True
        self.refuses = True
        self.registered = 0
        self.heartbeats = 0

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/v1/status/leader":
            return web.json_response("10.0.0.1:8300") if self.leads else web.Response(status=500, text=NO_SERVERS)
        if request.path in ("/v1/agent/members", "/v1/status/peers"):
            return web.json_response([])
        if self.refuses:
            return web.Response(status=403, text="Permission denied: Missing service:write on classify")
        self.registered += request.path == "/v1/agent/service/register"
        self.heartbeats += request.path.startswith("/v1/agent/check/")
        return web.Response()


NO_SERVERS = "No known Consul servers"


@asynccontextmanager
async def registration(agent: Agent, **options: Any) -> AsyncIterator[Registration]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", agent.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield Registration(ConsulSettings(url=url), WORKER, Checks("http://127.0.0.1:9001/healthz"), **options)
    finally:
        await runner.cleanup()


async def test_a_token_without_the_right_is_an_error() -> None:
    """Where there is a leader who could look the token up, a refusal is final."""
    async with registration(Agent()) as place:
        with pytest.raises(TokenRefused, match="CONSUL_HTTP_TOKEN"):
            async with place:
                pass


async def test_a_token_that_cannot_be_looked_up_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no server is reached the refusal is not believed, and the worker is registered when one is."""
    monkeypatch.setattr(worker.registration, "HEARTBEAT_S", 0.05)
    agent = Agent()
    agent.leads = False
    async with registration(agent) as place, place:
        assert agent.registered == 0
        agent.leads, agent.refuses = True, False
        await until(lambda: agent.registered == 1, within_s=5)


async def test_heartbeats_go_on_after_an_unexpected_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that nobody foresaw is logged with its traceback, and the next heartbeat is sent all the same."""
    monkeypatch.setattr(worker.registration, "HEARTBEAT_S", 0.05)
    agent = Agent()
    agent.refuses = False
    asked = 0

    def moving() -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RuntimeError("dictionary changed size during iteration")
        return True

    async with registration(agent, moving=moving) as place, place:
        await until(lambda: agent.heartbeats >= 2, within_s=5)
    assert "dictionary changed size during iteration" in caplog.text
