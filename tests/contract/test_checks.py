"""Checks that run: heartbeats and their expiry, HTTP and TCP probes, thresholds, and checks registered alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tests.contract.conftest import Api, Reply
from tests.support.waiting import all_let_in


@dataclass
class Target:
    """A server to be probed: answers `status` and `body`, and remembers what it was asked."""

    status: int = 200
    body: bytes = b"fine"
    delay_s: float = 0.0
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""

    async def respond(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.headers.get("X-Probe", ""), await request.text()))
        await asyncio.sleep(self.delay_s)
        return web.Response(status=self.status, body=self.body, headers={"Location": "/again"})


@asynccontextmanager
async def serving(target: Target) -> AsyncIterator[Target]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", target.respond)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    target.url = f"http://127.0.0.1:{runner.addresses[0][1]}/health"
    try:
        yield target
    finally:
        await all_let_in()  # the next probe may come just now
        await runner.cleanup()


async def status_of(api: Api, check_id: str) -> tuple[str, str]:
    check = (await api.get("agent/checks")).json[check_id]
    return check["Status"], check["Output"]


async def becomes(api: Api, check_id: str, status: str) -> str:
    """Wait until the check has the status, at the agent; its output."""

    def there(checks: dict[str, Any]) -> bool:
        return bool(checks[check_id]["Status"] == status)

    output: str = (await api.until("agent/checks", there)).json[check_id]["Output"]
    return output


@pytest.mark.parametrize(("verb", "status"), [("pass", "passing"), ("warn", "warning"), ("fail", "critical")])
async def test_heartbeats(api: Api, name: str, verb: str, status: str) -> None:
    """pass, warn and fail set a TTL check's status and note, and the catalogue follows."""
    await api.register(name, Check={"CheckID": f"{name}-c", "TTL": "1h"})
    await api.do(f"agent/check/{verb}/{name}-c?note=so%20so")
    assert await status_of(api, f"{name}-c") == (status, "so so")
    await api.until(f"health/checks/{name}", lambda checks: checks[0]["Status"] == status)


async def test_an_update_says_both(api: Api, name: str) -> None:
    """check/update takes status and output from its body, and cuts an output that is too long."""
    await api.register(name, Check={"CheckID": f"{name}-c", "TTL": "1h"})
    await api.do(f"agent/check/update/{name}-c", {"Status": "warning", "Output": "hot"})
    assert await status_of(api, f"{name}-c") == ("warning", "hot")
    await api.do(f"agent/check/update/{name}-c", {"Status": "passing", "Output": "h" * 5000})
    status, output = await status_of(api, f"{name}-c")
    assert (status, output) == ("passing", "h" * 4096 + " ... (captured 4096 of 5000 bytes)")


async def test_a_heartbeat_that_stays_away(api: Api, name: str) -> None:
    """A TTL check whose time is over is critical and quotes its last note; a heartbeat brings it back."""
    await api.register(name, Check={"CheckID": f"{name}-c", "TTL": "300ms"})
    assert await becomes(api, f"{name}-c", "critical") in ("", "TTL expired")
    await api.do(f"agent/check/pass/{name}-c?note=fine")
    assert await status_of(api, f"{name}-c") == ("passing", "fine")
    output = await becomes(api, f"{name}-c", "critical")
    assert output == "TTL expired (last output before timeout follows): fine"
    await api.do(f"agent/check/pass/{name}-c")
    assert await status_of(api, f"{name}-c") == ("passing", "")


async def test_heartbeats_on_time_keep_it_passing(api: Api, name: str) -> None:
    """Heartbeats at a quarter of the time to live must never let the check expire."""
    await api.register(name, Check={"CheckID": f"{name}-c", "TTL": "1s", "Status": "passing"})
    for _ in range(6):
        await api.do(f"agent/check/pass/{name}-c")
        await asyncio.sleep(0.25)
        assert (await status_of(api, f"{name}-c"))[0] == "passing"


@pytest.mark.parametrize("path", ["pass/none", "warn/none", "fail/none", "update/none"])
async def test_a_heartbeat_for_an_unknown_check(api: Api, path: str) -> None:
    """A heartbeat that the agent cannot place is answered 500 in Consul 1.8 (404 later), never 200."""
    reply = await api.put(f"agent/check/{path}", {"Status": "passing"} if "update" in path else None)
    assert (reply.status, reply.text) == (500, 'CheckID "none" does not have associated TTL')


async def test_a_heartbeat_for_a_probe(api: Api, name: str) -> None:
    """A check that probes takes no heartbeats."""
    check = {"CheckID": f"{name}-c", "TCP": "127.0.0.1:1", "Interval": "10s"}
    await api.register(name, Check=check)
    assert (await api.put(f"agent/check/pass/{name}-c")).status == 500


async def test_what_a_status_code_means(api: Api, name: str) -> None:
    """2xx passes, 429 warns, all else is critical, silence and a refused connection too; the output says it."""
    codes = {200: "passing", 204: "passing", 429: "warning", 404: "critical", 500: "critical", 503: "critical"}
    targets = {code: Target(status=code) for code in codes}
    slow = Target(delay_s=1.0)
    async with AsyncExitStack() as servers:
        for target in (*targets.values(), slow):
            await servers.enter_async_context(serving(target))
        checks = [
            {"CheckID": f"{name}-{code}", "HTTP": target.url, "Interval": "1s", "Timeout": "5s"}
            for code, target in targets.items()
        ]
        checks.append({"CheckID": f"{name}-slow", "HTTP": slow.url, "Interval": "1s", "Timeout": "200ms"})
        checks.append({"CheckID": f"{name}-none", "HTTP": "http://127.0.0.1:1/", "Interval": "1s"})
        await api.register(name, Checks=checks)
        await api.until("agent/checks", lambda held: all(held[check["CheckID"]]["Output"] for check in checks))
        for code, status in codes.items():
            found, output = await status_of(api, f"{name}-{code}")
            assert (found, output.split(": ")[0]) == (status, f"HTTP GET {targets[code].url}")
            assert f": {code} " in output
            assert output.endswith("Output: fine" if code != 204 else "Output: ")
        assert (await status_of(api, f"{name}-slow"))[0] == "critical"
        refused = 'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused'
        assert await status_of(api, f"{name}-none") == ("critical", refused)


async def test_what_a_probe_sends_and_keeps(api: Api, name: str) -> None:
    """Method, headers and body go out as registered; at most 4 KiB of the answer's body are kept."""
    async with serving(Target(body=b"q" * 10_000)) as target:
        check = {
            "CheckID": f"{name}-c", "HTTP": target.url, "Interval": "1s", "Method": "POST",
            "Header": {"X-Probe": ["yes"]}, "Body": "ping",
        }  # fmt: skip
        await api.register(name, Check=check)
        output = await becomes(api, f"{name}-c", "passing")
    assert target.requests[0] == ("POST", "yes", "ping")
    assert output == f"HTTP POST {target.url}: 200 OK Output: " + "q" * 4096


async def test_failures_before_critical(api: Api, name: str) -> None:
    """With FailuresBeforeCritical 3 two bad answers change nothing, the third does; one good one mends it."""
    async with serving(Target()) as target:
        check = {"CheckID": f"{name}-c", "HTTP": target.url, "Interval": "1s", "FailuresBeforeCritical": 3}
        await api.register(name, Check=check)
        await becomes(api, f"{name}-c", "passing")
        target.status = 500
        good = len(target.requests)

        async def look() -> Reply:
            reply = await api.get("agent/checks")
            status = reply.json[f"{name}-c"]["Status"]
            assert status == "passing" or len(target.requests) - good >= 3
            return reply

        await api.eventually(look, lambda reply: reply.json[f"{name}-c"]["Status"] == "critical")
        target.status = 200
        await becomes(api, f"{name}-c", "passing")


async def test_the_first_result_counts(api: Api, name: str) -> None:
    """Thresholds do not hold back the first result: a check registered as passing fails at its first failure."""
    async with serving(Target(status=500)) as target:
        check = {
            "CheckID": f"{name}-c", "HTTP": target.url, "Interval": "1s", "Status": "passing",
            "FailuresBeforeCritical": 5,
        }  # fmt: skip
        await api.register(name, Check=check)
        await becomes(api, f"{name}-c", "critical")
        assert len(target.requests) == 1


async def test_tcp(api: Api, name: str) -> None:
    """A TCP check passes where something accepts connections and is critical where nothing does."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        checks = [
            {"CheckID": f"{name}-open", "TCP": f"127.0.0.1:{port}", "Interval": "1s"},
            {"CheckID": f"{name}-shut", "TCP": "127.0.0.1:1", "Interval": "1s"},
        ]
        await api.register(name, Checks=checks)
        assert await becomes(api, f"{name}-open", "passing") == f"TCP connect 127.0.0.1:{port}: Success"
        await api.until("agent/checks", lambda held: held[f"{name}-shut"]["Output"])
        assert await status_of(api, f"{name}-shut") == (
            "critical",
            "dial tcp 127.0.0.1:1: connect: connection refused",
        )


async def test_a_check_registered_alone(api: Api, name: str, node: str) -> None:
    """check/register adds a check to a service, keeps the status of one that is there, and can be undone."""
    await api.register(name)
    body = {
        "ID": f"{name}-c",
        "Name": "alone",
        "ServiceID": name,
        "TTL": "1h",
        "Notes": "hi",
        "Status": "passing",
    }
    await api.do("agent/check/register", body)
    (check,) = (await api.until(f"health/checks/{name}", len)).json
    assert (check["Name"], check["Status"], check["Notes"], check["ServiceName"]) == (
        "alone",
        "passing",
        "hi",
        name,
    )
    await api.do(f"agent/check/warn/{name}-c?note=hm")
    await api.do("agent/check/register", body)
    assert await status_of(api, f"{name}-c") == ("warning", "hm")
    await api.do(f"agent/check/deregister/{name}-c")
    await api.until(f"health/checks/{name}", lambda checks: not checks)
    assert (await api.put(f"agent/check/deregister/{name}-c")).status == 200


async def test_a_check_of_the_node(api: Api, name: str, node: str) -> None:
    """A check without a service is the node's: it shows in every service's health and moves its index."""
    before = await api.register(name)
    try:
        await api.do("agent/check/register", {"ID": f"{name}-n", "Name": "disk", "TTL": "1h", "Status": "passing"})
        after = await api.get(f"health/service/{name}?index={before.index}&wait=10s")
        assert f"{name}-n" in [check["CheckID"] for check in after.json[0]["Checks"]]
        assert f"{name}-n" in [check["CheckID"] for check in (await api.get(f"health/node/{node}")).json]
    finally:
        await api.do(f"agent/check/deregister/{name}-n")
    await api.settle()


async def test_states(api: Api, name: str) -> None:
    """health/state lists checks by their status, and all of them for any."""
    check = {"CheckID": f"{name}-c", "TTL": "1h", "Status": "warning"}
    await api.register(name, Check=check)

    async def listed(state: str) -> bool:
        return f"{name}-c" in [check["CheckID"] for check in (await api.get(f"health/state/{state}")).json]

    assert [await listed(state) for state in ("any", "warning", "passing", "critical")] == [
        True,
        True,
        False,
        False,
    ]
