"""What the catalog sends to Consul and makes of its answers, against a server that answers as it is told.

For what a real Consul does only in trouble, or only in another version than the one at hand.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from registry.backend.errors import Forgotten
from registry.consul.bounded_body import BODY_AT_MOST_BYTES
from registry.consul.catalog import Catalog, Checks
from registry.consul.errors import ConsulRefused, ConsulUnavailable
from registry.consul.settings import ConsulSettings
from registry.discovery.directory import Directory
from registry.instances.instance import Instance
from tests.support.event_loops.callback_check import LONGEST_S
from tests.support.event_loops.slow_callbacks import slow_callbacks
from tests.support.fakes import LikeConsul
from tests.support.waiting import until

WORKER = Instance("classify", "classify-h-9001", "h", 9001, weight=3, version="2", boot="b1", tags=("gpu",))


MB = 1 << 20


class Told:
    """A stand-in for Consul: gives `status`, `body` and `headers`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body: str | bytes = "[]"
        self.headers: dict[str, str] = {"X-Consul-Index": "7"}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.sent: list[Any] = []
        self.authorizations: list[str | None] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path, dict(request.query)))
        self.authorizations.append(request.headers.get("Authorization"))
        text = await request.text()
        self.sent.append(json.loads(text) if text else None)
        body = self.body if isinstance(self.body, bytes) else self.body.encode()
        response = web.StreamResponse(status=self.status, headers=self.headers)
        response.content_length = len(body)
        await response.prepare(request)
        for at in range(0, len(body), MB):  # a write of all of it would hold the event loop
            await response.write(body[at : at + MB])
        return response


@pytest.fixture
async def told() -> Told:
    return Told()


@pytest.fixture
async def catalog(told: Told) -> AsyncIterator[Catalog]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", told.handle)
    async with TestServer(app) as server:
        catalog = Catalog(ConsulSettings(url=str(server.make_url("/")).rstrip("/"), token="secret"))
        yield catalog
        await catalog.close()


async def test_the_question_asks_for_all_and_takes_stale(told: Told, catalog: Catalog) -> None:
    """Without `passing`, or "all critical" could not be told from "unregistered"; stale, or it hangs leaderless."""
    await catalog.health("classify", index=7, wait_s=55)
    method, path, query = told.asked[0]
    assert (method, path) == ("GET", "/v1/health/service/classify")
    assert query == {"stale": "", "index": "7", "wait": "55000ms"}


async def test_an_index_is_a_number(told: Told, catalog: Catalog) -> None:
    """The header's text becomes an integer: as texts, "99" would be more than "100"."""
    told.headers["X-Consul-Index"] = "100"
    assert (await catalog.health("classify")).index > 99


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, "No cluster leader", ConsulUnavailable),
        (429, "rate limited", ConsulUnavailable),
        (503, "", ConsulUnavailable),
        (200, "<html>", ConsulUnavailable),
        (200, '{"not": "a list"}', ConsulUnavailable),
        (200, "[" * 200_000, ConsulUnavailable),
        (200, '[{"Service": {}}]', ConsulUnavailable),
        (401, "Unauthorized", ConsulRefused),
        (403, "Permission denied", ConsulRefused),
        (400, "bad", ConsulRefused),
        (301, "", ConsulRefused),
    ],
)
async def test_only_a_sound_200_is_read(
    told: Told, catalog: Catalog, status: int, body: str, error: type[Exception]
) -> None:
    """Nothing is taken from any other answer, although a leaderless 500 carries an index too."""
    told.status, told.body, told.headers = status, body, {"X-Consul-Index": "1"}
    with pytest.raises(error):
        await catalog.health("classify")


@pytest.mark.parametrize(
    ("leader", "contact", "current"), [("true", "0", True), ("false", "0", False), ("true", "60000", False)]
)
async def test_the_age_of_an_answer_is_read(
    told: Told, catalog: Catalog, leader: str, contact: str, current: bool
) -> None:
    """No known leader, or one not heard of for long, is an answer from the past."""
    told.headers |= {"X-Consul-KnownLeader": leader, "X-Consul-LastContact": contact}
    assert (await catalog.health("classify")).current is current


async def test_a_registration_says_all_that_it_should(told: Told, catalog: Catalog) -> None:
    """Stable id, boot and version in the meta, both checks with ids of their own, weights, and the token."""
    told.body = ""
    await catalog.register(WORKER, Checks("http://h:9001/healthz?boot=b1"))
    (said,) = told.sent
    assert (said["id"], said["name"], said["address"], said["port"]) == (WORKER.id, "classify", "h", 9001)
    assert said["meta"] == {"boot": "b1", "version": "2"}
    assert said["tags"] == ["p2p", "gpu"]
    assert said["weights"] == {"Passing": 3, "Warning": 1}
    http, ttl = said["checks"]
    assert (http["CheckID"], ttl["CheckID"]) == (f"{WORKER.id}:http", f"{WORKER.id}:ttl")
    assert (http["Interval"], http["Timeout"], http["FailuresBeforeCritical"]) == ("2s", "1s", 2)
    assert (http["DeregisterCriticalServiceAfter"], ttl["TTL"]) == ("60s", "15s")
    assert "replace-existing-checks" not in told.asked[0][2]  # it would end an operator's maintenance


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, 'Unknown check "x:ttl"'),
        (500, 'CheckID "x:ttl" does not have associated TTL'),
        (404, 'Unknown check ID "x:ttl"'),
    ],
)
async def test_all_answers_to_an_unknown_check_mean_forgotten(
    told: Told, catalog: Catalog, status: int, body: str
) -> None:
    """Old and new versions say it with different statuses; all mean: register again."""
    told.status, told.body = status, body
    with pytest.raises(Forgotten):
        await catalog.heartbeat("x")


async def test_a_heartbeat_that_failed_otherwise_is_no_forgetting(told: Told, catalog: Catalog) -> None:
    """An agent in trouble has not forgotten: nothing is registered again."""
    told.status, told.body = 500, "No cluster leader"
    with pytest.raises(ConsulUnavailable):
        await catalog.heartbeat("x")


@pytest.mark.parametrize(("status", "body"), [(200, ""), (404, "Unknown service ID")])
async def test_deregistering_the_unknown_is_done(told: Told, catalog: Catalog, status: int, body: str) -> None:
    """Old versions say 200, new ones 404: either way it is out."""
    told.status, told.body = status, body
    await catalog.deregister("x")


async def test_a_service_without_tags_is_listed(told: Told, catalog: Catalog) -> None:
    """No tags may be an empty list, or null."""
    told.body = '{"consul": [], "web": null, "classify": ["p2p"]}'
    assert await catalog.services() == (7, {"consul": set(), "web": set(), "classify": {"p2p"}})


async def test_name_and_password_are_sent(told: Told) -> None:
    """Basic authentication, as CONSUL_HTTP_AUTH or the address says; a 401 names the variable and shows no password."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", told.handle)
    async with TestServer(app) as server:
        address = f"http://user:p%40ss@127.0.0.1:{server.port}"
        catalog = Catalog(ConsulSettings.from_environment({"CONSUL_HTTP_ADDR": address, "CONSUL_HTTP_AUTH": "x:y"}))
        try:
            await catalog.health("classify")
            assert told.authorizations == ["Basic dXNlcjpwQHNz"]
            told.status = 401
            with pytest.raises(ConsulRefused, match="CONSUL_HTTP_AUTH") as refusal:
                await catalog.health("classify")
            assert "p@ss" not in str(refusal.value)
        finally:
            await catalog.close()


async def test_a_refusal_names_the_token(told: Told, catalog: Catalog) -> None:
    """Permission denied becomes a sentence that says where a token goes, and never shows the one given."""
    told.status, told.body = 403, "Permission denied"
    with pytest.raises(ConsulRefused, match="CONSUL_HTTP_TOKEN") as refusal:
        await catalog.register(WORKER, Checks("http://h:9001/"))
    assert "secret" not in str(refusal.value)


async def test_ids_that_two_agents_share_are_told_apart(told: Told, catalog: Catalog) -> None:
    """An id is unique for one agent only; two nodes with the same one are two instances."""

    def entry(node: str) -> dict[str, Any]:
        service = {"ID": "web", "Service": "web", "Address": "", "Port": 80, "Weights": {"Passing": 1, "Warning": 1}}
        return {"Node": {"Node": node, "Address": f"10.0.0.{node}"}, "Service": service, "Checks": []}

    told.body = json.dumps([entry("1"), entry("2")])
    found = (await catalog.health("web")).instances
    assert {i.host for i in found} == {"10.0.0.1", "10.0.0.2"}
    assert len({i.id for i in found}) == 2


class Counting(LikeConsul):
    """A catalog that counts the questions that wait, by service."""

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}

    async def services(self, *, index: int = 0) -> Any:
        if index:
            await asyncio.Event().wait()
        return 1, {name: frozenset[str]() for name in ("consul", "classify", "other")}

    async def health(self, service: str, *, index: int = 0, wait_s: float = 0) -> Any:
        from registry.backend.health_answer import HealthAnswer

        if index:
            self.waiting[service] = self.waiting.get(service, 0) + 1
            await asyncio.Event().wait()
        return HealthAnswer(1, ())


async def test_one_watch_a_service_however_many_clients() -> None:
    """A hundred clients asking for two services are two questions to Consul, never one a client."""
    counting = Counting()
    async with Directory(counting, default="classify") as directory:  # type: ignore[arg-type]  # a fake

        async def client() -> None:
            await until(lambda: directory.find("other") is not None)
            for name in ("classify", "other"):
                service = directory.find(name)
                assert service is not None
                await service.wait_until_known(timeout_s=5)
                await service.wait_for_change(service.index, timeout_s=0.05)

        await asyncio.gather(*(client() for _ in range(100)))
        assert counting.waiting == {"classify": 1, "other": 1}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(told: Told, catalog: Catalog, status: int) -> None:
    """Nothing is sent to where an answer redirects, the token least of all; the error names the host, no password."""
    thief = Told()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", thief.handle)
    async with TestServer(app) as server:
        told.status = status
        told.headers["Location"] = f"http://name:secret@{server.host}:{server.port}/v1/status/leader"
        worker = Instance("classify", "classify-1", "127.0.0.1", 9001)
        for call in (catalog.health("classify"), catalog.register(worker, Checks("http://127.0.0.1:9001/healthz"))):
            with pytest.raises(ConsulRefused, match=f"redirects .* to 'http://{server.host}:{server.port}'") as refused:
                await call
            assert "secret" not in str(refused.value)
        assert not await catalog.has_leader()
        assert thief.asked == []


async def test_a_packed_answer_is_read(told: Told, catalog: Catalog) -> None:
    """Consul packs large answers with gzip."""
    told.body = gzip.compress(
        json.dumps(
            [
                {
                    "Service": {"ID": "w", "Service": "s", "Address": "10.0.0.1", "Port": 1},
                    "Node": {"Node": "n", "Address": ""},
                }
            ]
            * 1
        ).encode()
    )
    told.headers["Content-Encoding"] = "gzip"
    assert [i.id for i in (await catalog.health("s")).instances] == ["w"]


@pytest.mark.parametrize(
    ("encoding", "body", "sentence"),
    [
        ("gzip", gzip.compress(b" " * (BODY_AT_MOST_BYTES + 1)), "is larger than 64 MiB"),
        ("identity", b" " * (BODY_AT_MOST_BYTES + 1), "is larger than 64 MiB"),
        ("gzip", b"no gzip", "is not the gzip"),
        ("gzip", gzip.compress(b"[]", mtime=0)[:-6], "ends in the middle"),
        ("br", b"[]", "is packed as 'br'"),
    ],
    # What gzip makes holds the time, and names that differ from one process to the next are no names of tests.
    ids=["gzip too large", "too large", "no gzip", "half a gzip", "brotli"],
)
async def test_answers_are_read_within_bounds(
    told: Told, catalog: Catalog, encoding: str, body: bytes, sentence: str
) -> None:
    """An answer that is too large, as it comes or unpacked, or is packed wrongly is no answer: the last one stays."""
    told.headers["Content-Encoding"] = encoding
    told.body = body
    with pytest.raises(ConsulUnavailable, match=sentence):
        await catalog.health("classify")


async def test_reading_a_large_service_holds_up_nobody(told: Told, catalog: Catalog) -> None:
    """While the instances of a service of thousands are read, the first time or again, other tasks go on."""
    place = {"Service": "s", "Address": "10.0.0.1", "Port": 1, "Tags": ["p2p"], "Meta": {"note": "n" * 500}}
    entries = [{"Node": {"Node": "n"}, "Service": {"ID": f"w{n}", **place}, "Checks": []} for n in range(5000)]
    told.body = await asyncio.to_thread(json.dumps, entries, separators=(",", ":"))
    for _ in range(2):
        with slow_callbacks(LONGEST_S, collections=False) as slow:
            answer = await catalog.health("s")
        assert (len(answer.instances), slow) == (5000, [])


async def test_unpacking_holds_up_nobody(told: Told, catalog: Catalog) -> None:
    """While an answer of 64 MiB is unpacked, or is made into text, other tasks go on."""
    told.headers["Content-Encoding"] = "gzip"
    for size in (BODY_AT_MOST_BYTES, BODY_AT_MOST_BYTES + 1):
        told.body = await asyncio.to_thread(lambda size=size: gzip.compress(b" " * size))
        with slow_callbacks(LONGEST_S, collections=False) as slow, pytest.raises(ConsulUnavailable):
            await catalog.health("classify")
        assert slow == []


@pytest.mark.parametrize("status", [204, 404, 405, 418])
async def test_only_consul_can_register(told: Told, catalog: Catalog, status: int) -> None:
    """Another program at Consul's address that answers something else than 200 has registered nothing."""
    told.status, told.body = status, ""
    with pytest.raises((ConsulRefused, ConsulUnavailable)):
        await catalog.register(WORKER, Checks("http://h:9001/healthz"))


@pytest.mark.parametrize(("status", "body"), [(404, ""), (200, "null"), (200, "[]"), (200, '{"Config": {}}')])
async def test_an_agent_says_what_it_is(told: Told, catalog: Catalog, status: int, body: str) -> None:
    """Where another program answers in Consul's place, the error says so, whatever that answers."""
    told.status, told.body = status, body
    with pytest.raises(ConsulRefused, match="is not Consul"):
        await catalog.version()


async def test_a_refused_connection_is_called_so() -> None:
    """The sentence says what the system says, and nothing of TLS, which is not used."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        catalog = Catalog(ConsulSettings(url=f"http://127.0.0.1:{closed.getsockname()[1]}"))
        with pytest.raises(ConsulUnavailable, match=r"did not answer: connection refused\.$"):
            await catalog.services()
        await catalog.close()
