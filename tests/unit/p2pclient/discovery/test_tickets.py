"""A client's tickets: asked for once, renewed in the background at half their time, dropped when refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from p2pclient.discovery import tickets as module
from p2pclient.discovery.tickets import HandedTicket, Tickets, read_handed
from p2pclient.errors import ClientClosed, LookupUnavailable
from p2pclient.failures import Failure, Trouble
from p2pclient.types import Worker

WORKER = Worker("cats", "cats-1", "10.0.0.1", 9001, auth="ticket")
OTHER = Worker("cats", "cats-2", "10.0.0.2", 9001, auth="ticket")


class Clock:
    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


class Lookup:
    """Hands out numbered tickets, each for a minute, when `answers` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.failure: Failure | None = None

    async def fetch(self, service: str, limit_s: float) -> HandedTicket:
        self.asked.append(service)
        await self.answers.wait()
        if self.failure is not None:
            raise self.failure
        return HandedTicket(f"{service}.{len(self.asked)}", 60)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


async def all_done() -> None:
    """Let what was begun in the background come to its end."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_ticket_serves_all_workers_of_a_service(clock: Clock) -> None:
    lookup = Lookup()
    tickets = Tickets(lookup.fetch)
    assert await tickets.ticket(WORKER, 1) == await tickets.ticket(OTHER, 1) == "cats.1"
    assert await tickets.ticket(replace(WORKER, service="dogs"), 1) == "dogs.2"


async def test_calls_at_the_same_time_share_one_request(clock: Clock) -> None:
    lookup = Lookup()
    tickets = Tickets(lookup.fetch)
    assert await asyncio.gather(*(tickets.ticket(WORKER, 1) for _ in range(50))) == ["cats.1"] * 50
    assert lookup.asked == ["cats"]


async def test_a_ticket_is_renewed_in_the_background_at_half_its_time(clock: Clock) -> None:
    """Calls go on with the old ticket meanwhile, and there is one request however many calls there are."""
    lookup = Lookup()
    tickets = Tickets(lookup.fetch)
    await tickets.ticket(WORKER, 1)
    clock.now_s += 29
    await tickets.ticket(WORKER, 1)
    await all_done()
    assert len(lookup.asked) == 1
    clock.now_s += 2
    lookup.answers.clear()
    for _ in range(20):
        assert await tickets.ticket(WORKER, 1) == "cats.1"
        await all_done()
    lookup.answers.set()
    await all_done()
    assert await tickets.ticket(WORKER, 1) == "cats.2"
    assert len(lookup.asked) == 2


async def test_after_a_long_pause_a_call_waits_for_a_new_ticket(clock: Clock) -> None:
    lookup = Lookup()
    tickets = Tickets(lookup.fetch)
    await tickets.ticket(WORKER, 1)
    clock.now_s += 59.5
    assert await tickets.ticket(WORKER, 1) == "cats.2"


async def test_while_the_lookup_service_is_away_a_good_ticket_stays_in_use(clock: Clock) -> None:
    lookup = Lookup()
    tickets = Tickets(lookup.fetch)
    await tickets.ticket(WORKER, 1)
    lookup.failure = Failure(Trouble.NO_LOOKUP, LookupUnavailable("away"))
    clock.now_s += 40
    for _ in range(10):
        assert await tickets.ticket(WORKER, 1) == "cats.1"
        await all_done()
    assert len(lookup.asked) == 2  # it is not asked at each call
    clock.now_s += 20
    with pytest.raises(Failure) as failed:
        await tickets.ticket(WORKER, 1)
    assert failed.value.trouble is Trouble.NO_LOOKUP


async def test_the_ticket_that_came_with_an_address_is_used_first(clock: Clock) -> None:
    lookup = Lookup()
    tickets = Tickets(lookup.fetch)
    tickets.note(replace(WORKER, ticket="own"), 60)
    assert await tickets.ticket(WORKER, 1) == "own"
    assert await tickets.ticket(OTHER, 1) == "cats.1"
    clock.now_s += 59.5
    assert await tickets.ticket(WORKER, 1) == "cats.2"


async def test_a_refused_ticket_is_used_no_more(clock: Clock) -> None:
    lookup = Lookup()
    tickets = Tickets(lookup.fetch)
    tickets.note(replace(WORKER, ticket="own"), 60)
    tickets.refused(WORKER, "own")
    assert await tickets.ticket(WORKER, 1) == "cats.1"
    tickets.refused(WORKER, "cats.1")
    assert await tickets.ticket(WORKER, 1) == "cats.2"
    tickets.refused(WORKER, "cats.1")  # of a call that was slower than the renewal
    assert await tickets.ticket(WORKER, 1) == "cats.2"


async def test_a_ticket_that_has_just_replaced_another_is_believed(clock: Clock) -> None:
    """For 5 s; a worker that refuses every ticket makes the lookup service sign no more than that."""
    lookup = Lookup()
    tickets = Tickets(lookup.fetch)
    assert tickets.refused(WORKER, await tickets.ticket(WORKER, 1))
    assert not tickets.refused(WORKER, await tickets.ticket(WORKER, 1))
    assert await tickets.ticket(OTHER, 1) == "cats.2"
    clock.now_s += 5
    assert tickets.refused(WORKER, "cats.2")
    assert await tickets.ticket(WORKER, 1) == "cats.3"


async def test_a_call_waits_for_a_ticket_no_longer_than_it_may() -> None:
    lookup = Lookup()
    lookup.answers.clear()
    tickets = Tickets(lookup.fetch)
    with pytest.raises(Failure, match="no ticket in the time given"):
        await tickets.ticket(WORKER, 0.01)
    await tickets.close()


async def test_closing_ends_what_waits_for_a_ticket() -> None:
    lookup = Lookup()
    lookup.answers.clear()
    tickets = Tickets(lookup.fetch)
    waiting = asyncio.create_task(tickets.ticket(WORKER, 10))
    await all_done()
    await tickets.close()
    with pytest.raises(ClientClosed):
        await waiting


async def test_few_tickets_are_kept(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_AT_MOST", 3)
    tickets = Tickets(Lookup().fetch)
    for number in range(10):
        clock.now_s += 61
        tickets.note(replace(WORKER, id=f"cats-{number}", ticket="own"), 60)
    assert len(tickets._of_workers) <= 3


def test_tickets_are_in_no_repr() -> None:
    assert "secret" not in repr(HandedTicket("secret", 60))
    assert "secret" not in repr(replace(WORKER, ticket="secret"))
    assert replace(WORKER, ticket="secret") == WORKER


@pytest.mark.parametrize("ticket", ["", "a b", "a\r\nX: y", "\u00e9", "x" * 5_000, 5, ["a"]])
def test_what_no_header_can_carry_is_no_ticket(ticket: object) -> None:
    with pytest.raises(ValueError, match="not a ticket"):
        read_handed({"ticket": ticket, "expires_in_s": 60}, "expires_in_s")


@pytest.mark.parametrize("lifetime", [0, -1, 1.5, "60", None, 10**9])
def test_a_lifetime_is_whole_seconds(lifetime: object) -> None:
    with pytest.raises(ValueError, match="whole number"):
        read_handed({"ticket": "a.b.c", "expires_in_s": lifetime}, "expires_in_s")
