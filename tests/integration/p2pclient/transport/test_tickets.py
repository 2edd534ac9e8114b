"""The client with workers that want tickets: what is sent to whom, and how often a lookup service is asked."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from aiohttp import web

from p2pclient import AsyncClient, AuthenticationError, Client
from tests.support.workers.fake_worker import answer

TOKEN = "s3cret-bearer"


def sent(worker) -> list[str]:
    return [seen.headers.get("Authorization") for seen in worker.seen]


@pytest.fixture
def ticketed(fleet):
    """A lookup service whose two workers want tickets."""
    fleet.lookup.auth = "ticket"
    fleet.add(2)
    return fleet


async def test_a_subscribed_client_asks_for_one_ticket(ticketed):
    """With routing="watch" many calls to all workers carry one ticket, which was asked for once."""
    async with AsyncClient(ticketed.url, service="classify") as client:
        await asyncio.gather(*(client.classify(ticketed.jpeg) for _ in range(20)))
    (ticket,) = ticketed.lookup.handed
    assert {header for worker in ticketed.started for header in sent(worker)} == {f"Bearer {ticket}"}


async def test_a_lookup_brings_the_ticket_with_the_address(ticketed):
    """With routing="lookup" no ticket is asked for: each address has its own."""
    async with AsyncClient(ticketed.url, routing="lookup") as client:
        for _ in range(4):
            await client.classify(ticketed.jpeg)
    assert ticketed.lookup.handed == []
    assert all(header.startswith("Bearer ticket.") for worker in ticketed.started for header in sent(worker))


async def test_the_token_is_for_the_lookup_service_and_the_ticket_for_workers(ticketed):
    """A worker that wants a ticket never sees the token, and the lookup service never the ticket."""
    async with AsyncClient(ticketed.url, service="classify", token=TOKEN) as client:
        await client.classify(ticketed.jpeg)
    assert ticketed.lookup.authorizations == {f"Bearer {TOKEN}"}
    (ticket,) = ticketed.lookup.handed
    assert {header for worker in ticketed.started for header in sent(worker)} == {f"Bearer {ticket}"}


async def test_a_refused_ticket_is_replaced_once(ticketed):
    """A worker that answers 401 gets a new ticket in the same attempt, as after a key was revoked."""
    (worker, other) = ticketed.started
    ticketed.lookup.workers = [worker]
    assert other.seen == []

    async def refuses_the_first(request: web.Request, body: bytes) -> web.StreamResponse:
        if len(worker.seen) == 1:
            return ticketed.sentence(401, "The ticket's key is unknown or was revoked")
        return await answer(request, body)

    worker.behave = refuses_the_first
    async with AsyncClient(ticketed.url, service="classify") as client:
        classification = await client.classify(ticketed.jpeg)
    assert classification.attempts == 1
    assert sent(worker) == [f"Bearer {ticket}" for ticket in ticketed.lookup.handed]
    assert len(ticketed.lookup.handed) == 2


async def test_a_worker_that_refuses_every_ticket_is_an_error(ticketed):
    """Where all workers do so, the error has the worker's sentence, and speaks of no token."""
    for worker in ticketed.started:
        worker.behave = ticketed.answers(401, "The ticket is not valid yet")
    async with AsyncClient(ticketed.url, service="classify") as client:
        with pytest.raises(AuthenticationError, match=r"answered 401: The ticket is not valid yet \(3 attempts\)$"):
            await client.classify(ticketed.jpeg)
    assert len(ticketed.lookup.handed) == 2


async def test_a_worker_that_refuses_every_ticket_is_passed_over(ticketed):
    """One whose clock is off refuses good tickets: another worker answers, and one more ticket is asked for."""
    ticketed.started[0].behave = ticketed.answers(401, "The ticket has expired")
    async with AsyncClient(ticketed.url, service="classify") as client:
        for _ in range(20):
            await client.classify(ticketed.jpeg)
    assert len(ticketed.started[1].seen) == 20
    assert len(ticketed.lookup.handed) == 2


async def test_tickets_are_renewed_before_they_expire(ticketed):
    """A busy client never sends a ticket that has expired, and asks about twice in a ticket's life."""
    ticketed.lookup.ticket_lifetime_s = 1
    async with AsyncClient(ticketed.url, service="classify") as client:
        began_s = time.monotonic()
        while time.monotonic() - began_s < 2.2:
            await client.classify(ticketed.jpeg)
            await asyncio.sleep(0.01)
    assert 3 <= len(ticketed.lookup.handed) <= 6


async def test_several_lookup_services_stand_in_for_each_other(ticketed):
    """Where the lookup service that answered is gone, another one hands out the ticket."""
    other = ticketed.another_lookup()
    other.auth, other.workers = "ticket", ticketed.lookup.workers
    ticketed.lookup.ticket_lifetime_s = other.ticket_lifetime_s = 1
    async with AsyncClient(f"{ticketed.url},{other.url}", service="classify") as client:
        await client.classify(ticketed.jpeg)
        gone = ticketed.lookup if ticketed.lookup.handed else other
        gone.stop()
        await asyncio.sleep(1)
        await client.classify(ticketed.jpeg)
    assert ticketed.lookup.handed
    assert other.handed


async def test_a_lookup_service_that_signs_none_is_named(ticketed):
    """Workers want tickets and the lookup service signs none: one sentence says what to start."""

    async def signs_none(request: web.Request, _: bytes) -> web.StreamResponse:
        return web.Response(status=404, text="This lookup service signs no tickets: it does so with --ticket-keys.\n")

    async with AsyncClient(ticketed.url, service="classify") as client:
        await client.workers()
        ticketed.lookup.replace = signs_none
        with pytest.raises(
            AuthenticationError, match=r"the workers want tickets, and the lookup service at .* signs none"
        ):
            await client.classify(ticketed.jpeg)
    assert all(worker.seen == [] for worker in ticketed.started)


async def test_consul_hands_out_no_tickets(fleet):
    """Against Consul itself a sentence names the lookup service as the cure, and no image is sent."""
    (worker,) = fleet.add()
    meta = {"auth": "ticket"}
    service = {"ID": "w", "Service": "classify", "Address": "127.0.0.1", "Port": worker.port, "Meta": meta, "Tags": []}
    entry = {"Node": {"Node": "n", "Address": "127.0.0.1"}, "Service": service, "Checks": []}

    async def consul(request: web.Request, _: bytes) -> web.StreamResponse:
        if "index" in request.query:
            await asyncio.sleep(5)
        return web.Response(text=json.dumps([entry]), headers={"X-Consul-Index": "7"})

    fleet.lookup.replace = consul
    async with AsyncClient(f"consul://127.0.0.1:{fleet.lookup.port}") as client:
        with pytest.raises(AuthenticationError, match="only a lookup service signs"):
            await client.classify(fleet.jpeg)
    assert worker.seen == []


def test_the_blocking_client_sends_tickets_too(ticketed):
    """Client is AsyncClient's twin."""
    with Client(ticketed.url) as client:
        client.classify(ticketed.jpeg)
        assert client.lookup().ticket is not None
    assert any(sent(worker) for worker in ticketed.started)


def test_the_commands_work_as_they_are(ticketed, p2p, tmp_path):
    """`p2p classify` sends a ticket, `p2p lookup` prints one with the address."""
    (tmp_path / "cat.jpg").write_bytes(ticketed.jpeg)
    code, _, error = p2p("classify", "cat.jpg")
    assert (code, error) == (0, "")
    code, printed, _ = p2p("lookup")
    assert code == 0
    assert "/?ticket=ticket." in printed
    _, printed, _ = p2p("lookup", "--json")
    assert json.loads(printed)["ticket"].startswith("ticket.")
