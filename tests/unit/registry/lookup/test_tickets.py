"""Tickets in answers: with each address of a worker that wants one, in every form, and the same on both paths."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from registry.backend.health_answer import HealthAnswer
from registry.discovery.directory import Directory
from registry.instances.instance import Instance
from registry.lookup.fast_path import FastPath
from registry.lookup.routes import build_app
from registry.lookup.tickets import LookupTickets
from registry.runtime.connections.open_connections import bounded_connections
from registry.security.tickets.key_folder import new_key
from registry.security.tickets.ticket import Limits, Ticket, verify
from registry.security.tickets.ticket_signer import SigningKey, TicketSigner
from tests.support.fakes import LikeConsul
from tests.support.lookups.lookup_app import listening
from tests.support.raw_http import conversation, undated
from tests.support.waiting import until

KEY = new_key(0)
KEYS = {KEY.key_id: KEY.private.public_key()}
WORKERS = {
    "classify": Instance("classify", "classify-127.0.0.1-9001", "127.0.0.1", 9001, meta={"auth": "ticket"}),
    "secure": Instance("secure", "s1", "127.0.0.1", 9002, meta={"auth": "ticket", "scheme": "https"}),
    "open": Instance("open", "o1", "127.0.0.1", 9003),
}


class ThreeServices(LikeConsul):
    """A catalog with a worker that wants tickets, one that speaks TLS besides, and one that wants nothing."""

    async def services(self, *, index: int = 0) -> tuple[int, Mapping[str, frozenset[str]]]:
        if index:
            await asyncio.Event().wait()
        return 1, {name: frozenset({"p2p"}) for name in WORKERS}

    async def health(self, service: str, *, index: int = 0, wait_s: float = 0) -> HealthAnswer:
        if index:
            await asyncio.Event().wait()
        return HealthAnswer(1, (WORKERS[service],))


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def signer(clock: Clock, *, with_key: bool = True) -> TicketSigner:
    made = TicketSigner(lifetime_s=60, clock=clock)
    if with_key:
        made.use(SigningKey(KEY.key_id, KEY.private))
    return made


@asynccontextmanager
async def lookup(tickets: LookupTickets, *, fast: bool = True) -> AsyncIterator[tuple[int, FastPath]]:
    async with (
        Directory(ThreeServices(), default="classify") as directory,  # type: ignore[arg-type]  # a fake
        bounded_connections(at_most=100) as connections,
    ):
        await until(lambda: len([s for s in directory.services() if s.snapshot.known]) == len(WORKERS))
        path = FastPath(directory, tickets)
        app = build_app(directory, path, tickets)
        async with listening(app, path, connections, fast=fast) as port:
            yield port, path


async def get(port: int, target: str, **options: Any) -> tuple[int, str, Mapping[str, str]]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            options.pop("method", "GET"), f"http://127.0.0.1:{port}{target}", allow_redirects=False, **options
        ) as answer,
    ):
        return answer.status, await answer.text(), answer.headers


def ticket_in(text: str) -> Ticket:
    found = re.search(r"ticket=([\w.-]+)", text)
    assert found is not None, text
    return verify(found[1], KEYS)


@pytest.mark.parametrize("fast", [True, False])
async def test_addresses_in_text_carry_the_ticket_for_their_worker(fast: bool) -> None:
    async with lookup(LookupTickets(signer(Clock())), fast=fast) as (port, _):
        for target, beginning in {
            "/": "9001/?ticket=", "/next": "127.0.0.1:9001/?ticket=", "/next?count=1": "127.0.0.1:9001/?ticket=",
            "/next?scheme=1": "http://127.0.0.1:9001/?ticket=", "/next/secure?scheme=1": "https://127.0.0.1:9002/?ticket=",
        }.items():  # fmt: skip
            _, text, _ = await get(port, target)
            assert text.startswith(beginning)
            ticket = ticket_in(text)
            assert (ticket.caller, ticket.issued_s, ticket.expires_s) == ("anonymous", 1_000, 1_060)
            number = 9002 if "secure" in target else 9001
            assert ticket.instance_id == f"{ticket.service}-127.0.0.1-{number}"


@pytest.mark.parametrize("fast", [True, False])
async def test_json_carries_the_ticket_and_its_lifetime(fast: bool) -> None:
    async with lookup(LookupTickets(signer(Clock())), fast=fast) as (port, _):
        _, text, _ = await get(port, "/next", headers={"Accept": "application/json"})
        _, many, _ = await get(port, "/next?count=2", headers={"Accept": "application/json"})
        for found in (json.loads(text), *json.loads(many)):
            assert found["auth"] == "ticket"
            assert found["ticket_expires_in_s"] == 60
            assert verify(found["ticket"], KEYS).service == "classify"


async def test_a_worker_that_wants_no_ticket_gets_none() -> None:
    async with lookup(LookupTickets(signer(Clock()))) as (port, _):
        assert (await get(port, "/next/open"))[1] == "127.0.0.1:9003\n"
        assert "ticket" not in json.loads((await get(port, "/next/open", headers={"Accept": "application/json"}))[1])


async def test_lists_of_instances_carry_no_tickets() -> None:
    async with lookup(LookupTickets(signer(Clock()))) as (port, _):
        assert "ticket_expires_in_s" not in (await get(port, "/instances/classify"))[1]


async def test_without_ticket_keys_answers_are_as_before() -> None:
    async with lookup(LookupTickets()) as (port, _):
        assert (await get(port, "/next"))[1] == "127.0.0.1:9001\n"
        status, text, _ = await get(port, "/tickets/classify")
        assert (status, text) == (
            404,
            "This lookup service signs no tickets: it does so if started with --ticket-keys.\n",
        )


@pytest.mark.parametrize("target", [b"/", b"/next", b"/next/open", b"/next/secure", b"/next?scheme=1"])
async def test_both_paths_answer_alike(target: bytes) -> None:
    tickets = LookupTickets(signer(Clock()))
    request = b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with lookup(tickets, fast=True) as (fast, path), lookup(tickets, fast=False) as (slow, _):
        assert undated((await conversation(fast, [request]))[0]) == undated((await conversation(slow, [request]))[0])
        assert path.answered == 1


async def test_a_prepared_answer_is_kept_for_a_second_and_for_one_key() -> None:
    clock = Clock()
    made = signer(clock)
    async with lookup(LookupTickets(made)) as (port, path):
        first = (await get(port, "/next"))[1]
        clock.now_s += 0.9
        assert (await get(port, "/next"))[1] == first
        clock.now_s += 0.2
        second = (await get(port, "/next"))[1]
        assert ticket_in(second).issued_s == ticket_in(first).issued_s + 1
        other = new_key(0)
        made.use(SigningKey(other.key_id, other.private))
        third = (await get(port, "/next"))[1]
        assert verify(third.partition("ticket=")[2].strip(), {other.key_id: other.private.public_key()})
        assert path.answered > 0


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", "http://127.0.0.1:9001/?ticket="),
        ("/?top=3", "http://127.0.0.1:9001/?top=3&ticket="),
        ("/to/classify/v2/models/classify/infer", "http://127.0.0.1:9001/v2/models/classify/infer?ticket="),
        ("/to/secure/?a=b%20c", "https://127.0.0.1:9002/?a=b%20c&ticket="),
    ],
)
async def test_a_redirect_carries_the_ticket(target: str, expected: str) -> None:
    async with lookup(LookupTickets(signer(Clock()))) as (port, _):
        status, _, headers = await get(port, target, method="POST")
        assert status == 307
        assert headers["Location"].startswith(expected)
        assert ticket_in(headers["Location"]).service == ("secure" if ":9002/" in expected else "classify")


async def test_a_ticket_by_itself_is_for_any_worker() -> None:
    async with lookup(LookupTickets(signer(Clock()))) as (port, _):
        status, text, headers = await get(port, "/tickets/classify")
        said = json.loads(text)
        assert (status, said.keys(), said["expires_in_s"]) == (200, {"service", "ticket", "expires_in_s"}, 60)
        assert headers["Cache-Control"] == "no-store"
        ticket = verify(said["ticket"], KEYS)
        assert (ticket.service, ticket.instance_id, ticket.limits) == ("classify", None, Limits())
        assert (await get(port, "/tickets/nobody"))[0] == 404


async def test_a_ticket_can_be_made_narrower() -> None:
    async with lookup(LookupTickets(signer(Clock()))) as (port, _):
        target = "/tickets/classify?max_body=1000&max_requests=2&deadline=1.5"
        limits = [verify(json.loads((await get(port, target))[1])["ticket"], KEYS).limits for _ in range(2)]
        assert [(each.max_body_bytes, each.max_requests, each.deadline_s) for each in limits] == [(1_000, 2, 1.5)] * 2
        assert limits[0].ticket_id != limits[1].ticket_id


@pytest.mark.parametrize(
    "query", ["max_body=0", "max_body=-1", "max_body=1e3", "max_requests=x", "deadline=0", "deadline=nan", "deadline="]
)
async def test_limits_that_cannot_be_used_are_refused(query: str) -> None:
    async with lookup(LookupTickets(signer(Clock()))) as (port, _):
        status, text, _ = await get(port, f"/tickets/classify?{query}")
        assert status == 400
        assert "cannot be used" in text


async def test_without_a_key_that_workers_know_nothing_is_handed_out() -> None:
    async with lookup(LookupTickets(signer(Clock(), with_key=False))) as (port, _):
        for target in ("/next", "/", "/tickets/classify"):
            status, text, headers = await get(port, target)
            assert (status, headers["Retry-After"]) == (503, "1")
            assert text == "No ticket can be signed yet: Consul has not taken this host's new key.\n"
        assert (await get(port, "/", method="POST"))[0] == 503
        assert (await get(port, "/next/open"))[0] == 200
        assert (await get(port, "/readyz"))[0] == 503
