"""What a worker checks of a ticket: service, worker, time, size, number of requests; and what it keeps."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.security.tickets import ticket_check
from registry.security.tickets.ticket import Limits, Ticket, TicketRefused, sign
from registry.security.tickets.ticket_check import Asked, TicketCheck

KEY = Ed25519PrivateKey.generate()
HERE = {"instance_ids": {"cats-1", "dogs-2"}, "services": {"cats", "dogs"}}
CATS = Asked("cats")


def text_of(**change: Any) -> str:
    given: dict[str, Any] = {"caller": "alice", "service": "cats", "issued_s": 1_000, "expires_s": 1_060} | change
    return sign(Ticket(**given), KEY, "k1")


@pytest.fixture
def check() -> TicketCheck:
    check = TicketCheck()
    check.use_keys({"k1": KEY.public_key()})
    return check


def refusal(check: TicketCheck, text: str, asked: Asked = CATS, *, now_s: float = 1_010) -> TicketRefused:
    with pytest.raises(TicketRefused) as refused:
        check.check(text, asked, now_s=now_s, **HERE)
    return refused.value


def test_a_ticket_permits_what_it_is_for(check: TicketCheck) -> None:
    assert check.check(text_of(), CATS, now_s=1_010, **HERE).caller == "alice"
    assert check.check(text_of(instance_id="cats-1"), CATS, now_s=1_010, **HERE).instance_id == "cats-1"


def test_a_ticket_for_one_service_of_the_worker_permits_what_belongs_to_none(check: TicketCheck) -> None:
    assert check.check(text_of(service="dogs"), Asked(None), now_s=1_010, **HERE)
    assert refusal(check, text_of(service="birds"), Asked(None)).status == 403


def test_another_service_is_forbidden(check: TicketCheck) -> None:
    refused = refusal(check, text_of(service="dogs"))
    assert refused.status == 403
    assert str(refused) == "The ticket is for the service dogs, and not for cats: ask for one of the other."


def test_another_worker_is_the_wrong_one(check: TicketCheck) -> None:
    refused = refusal(check, text_of(instance_id="cats-3"))
    assert refused.status == 421
    assert "another worker" in str(refused)


def test_a_body_larger_than_the_ticket_allows_is_too_large(check: TicketCheck) -> None:
    text = text_of(limits=Limits(max_body_bytes=100))
    check.check(text, Asked("cats", 100), now_s=1_010, **HERE)
    refused = refusal(check, text, Asked("cats", 101))
    assert refused.status == 413
    assert str(refused) == "The body has 101 bytes, the ticket allows 100 (max_body)."


def test_a_ticket_is_checked_against_the_time_at_each_request_although_it_is_kept(check: TicketCheck) -> None:
    text = text_of()
    check.check(text, CATS, now_s=1_089, **HERE)
    assert (refusal(check, text, now_s=1_090).status, str(refusal(check, text, now_s=1_090))[:22]) == (
        401,
        "The ticket has expired",
    )
    assert "not valid yet" in str(refusal(check, text, now_s=900))


def test_without_known_keys_a_request_may_come_again() -> None:
    refused = refusal(TicketCheck(), text_of())
    assert refused.status == 503
    assert "has not learned from Consul" in str(refused)


def test_a_revoked_key_refuses_tickets_that_were_accepted_before(check: TicketCheck) -> None:
    text = text_of()
    check.check(text, CATS, now_s=1_010, **HERE)
    check.use_keys({"k2": Ed25519PrivateKey.generate().public_key()})
    assert refusal(check, text).status == 401


def test_requests_are_counted_where_the_ticket_allows_a_number_of_them(check: TicketCheck) -> None:
    text = text_of(limits=Limits(max_requests=2, ticket_id="one"))
    for _ in range(2):
        check.count(check.check(text, CATS, now_s=1_010, **HERE), 1_010)
    refused = refusal(check, text)
    assert refused.status == 403
    assert str(refused) == "The ticket allowed 2 requests, and they were made: ask for another one."


def test_a_check_by_itself_counts_nothing(check: TicketCheck) -> None:
    text = text_of(limits=Limits(max_requests=1, ticket_id="one"))
    for _ in range(3):
        ticket = check.check(text, CATS, now_s=1_010, **HERE)
    check.count(ticket, 1_010)
    with pytest.raises(TicketRefused, match="allowed 1 requests"):  # two requests that were checked at the same time
        check.count(ticket, 1_010)


def test_counts_survive_other_keys_and_are_never_dropped_early(
    check: TicketCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticket_check, "COUNTED_AT_MOST", 2)
    tickets = [
        check.check(text_of(limits=Limits(max_requests=1, ticket_id=name)), CATS, now_s=1_010, **HERE) for name in "abc"
    ]
    check.count(tickets[0], 1_010)
    check.use_keys({"k1": KEY.public_key()})
    check.count(tickets[1], 1_010)
    with pytest.raises(TicketRefused, match="2 tickets are counted already") as refused:
        check.count(tickets[2], 1_010)
    assert refused.value.status == 503
    with pytest.raises(TicketRefused, match="allowed 1 requests"):
        check.count(tickets[0], 1_010)
    check.count(tickets[2], 1_090)  # the others have expired


def test_few_tickets_are_kept(check: TicketCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticket_check, "KEPT_AT_MOST", 3)
    for number in range(10):
        check.check(text_of(caller=f"caller-{number}"), CATS, now_s=1_010, **HERE)
    assert len(check._kept) <= 3
    refusal(check, text_of(expires_s=1_001), now_s=1_050)
    assert len(check._kept) <= 3
