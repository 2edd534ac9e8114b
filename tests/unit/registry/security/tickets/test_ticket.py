"""Tickets as JWTs: what was signed is read, everything else is refused with its status and a sentence."""

from __future__ import annotations

import json
import random
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.security.caller import Quota
from registry.security.tickets.ticket import (
    LONGEST_TICKET,
    NO_LIMITS,
    Limits,
    Ticket,
    TicketRefused,
    check_time,
    sign,
    verify,
)
from tests.support.security.ticket_mutations import TicketMutations

KEY = Ed25519PrivateKey.generate()
KEYS = {"k1": KEY.public_key()}
TICKET = Ticket("alice", "classify", 1_000, 1_060)


def refusal(text: str) -> TicketRefused:
    with pytest.raises(TicketRefused) as refused:
        verify(text, KEYS)
    return refused.value


def signed(claims: dict[str, Any], **header: Any) -> str:
    return jwt.encode(claims, KEY, algorithm="EdDSA", headers={"kid": "k1"} | header)


CLAIMS = {"iss": "p2p-registry", "sub": "alice", "aud": "classify", "iat": 1_000, "nbf": 1_000, "exp": 1_060}


@pytest.mark.parametrize(
    "ticket",
    [
        TICKET,
        Ticket("bob", "cats", 5, 65, "cats-10.0.0.5-9000"),
        Ticket("bob", "cats", 5, 65, None, Limits(1_000, 3, "one", 2.5), Quota(50.0, 0.25)),
    ],
)
def test_a_ticket_is_read_as_it_was_signed(ticket: Ticket) -> None:
    assert verify(sign(ticket, KEY, "k1"), KEYS) == ticket


def test_a_ticket_without_limits_has_the_one_value_for_that() -> None:
    """Requests are not slowed down by limits that do not exist: who checks compares identities."""
    assert verify(sign(TICKET, KEY, "k1"), KEYS).limits is NO_LIMITS


def test_the_header_and_claims_are_those_of_the_documents() -> None:
    text = sign(Ticket("alice", "cats", 5, 65, "cats-1", Limits(9, 2, "id", 1.5), Quota(3.0, 0.5)), KEY, "k1")
    assert jwt.get_unverified_header(text) == {"alg": "EdDSA", "typ": "JWT", "kid": "k1"}
    assert jwt.decode(text, options={"verify_signature": False}) == {
        "iss": "p2p-registry", "sub": "alice", "aud": "cats", "iat": 5, "nbf": 5, "exp": 65, "wid": "cats-1",
        "max_body": 9, "max_requests": 2, "jti": "id", "deadline_s": 1.5, "rate": 3.0, "concurrency": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "abc", "a.b", "a.b.c.d", "a.b.", "\u00e9.b.c", "A" * (LONGEST_TICKET + 1)])
def test_a_text_that_is_no_jwt_is_malformed(text: str) -> None:
    refused = refusal(text)
    assert refused.status == 401
    assert str(refused) == "The ticket is malformed: ask the lookup service for one."


def test_a_changed_ticket_has_a_wrong_signature() -> None:
    header, claims, signature = sign(TICKET, KEY, "k1").split(".")
    other = sign(Ticket("mallory", "classify", 1_000, 1_060), KEY, "k1").split(".")[1]
    for forged in (f"{header}.{other}.{signature}", f"{header}.{claims}.{signature[:-4]}AAAA"):
        assert refusal(forged).status == 401
        assert "signature is wrong" in str(refusal(forged))


def test_a_ticket_of_another_key_is_refused_under_the_name_of_a_known_one() -> None:
    assert "signature is wrong" in str(refusal(sign(TICKET, Ed25519PrivateKey.generate(), "k1")))


def test_a_ticket_of_an_unknown_or_revoked_key_is_refused() -> None:
    refused = refusal(sign(TICKET, KEY, "k2"))
    assert refused.status == 401
    assert "unknown or was revoked" in str(refused)
    assert "unknown or was revoked" in str(refusal(jwt.encode(CLAIMS, KEY, algorithm="EdDSA")))


@pytest.mark.parametrize(
    "text",
    [
        jwt.encode(CLAIMS, KEY.public_key().public_bytes_raw(), algorithm="HS256", headers={"kid": "k1"}),
        jwt.encode(CLAIMS, None, algorithm="none", headers={"kid": "k1"}) + "AA",
        signed(CLAIMS, typ="JOSE"),
        signed(CLAIMS, jku="http://127.0.0.1/keys"),
    ],
)
def test_the_algorithm_is_fixed_whatever_a_ticket_says(text: str) -> None:
    refused = refusal(text)
    assert refused.status == 401
    assert "not signed with EdDSA" in str(refused)


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody"}, {"iss": None}, {"sub": ""}, {"sub": 5}, {"aud": ["classify"]}, {"aud": None},
        {"exp": "1060"}, {"exp": 1_060.5}, {"exp": True}, {"exp": 2**60}, {"exp": 1_000}, {"exp": 900},
        {"exp": 1_000 + 3_601}, {"iat": -1}, {"nbf": None}, {"wid": ""}, {"wid": 1}, {"max_body": -1},
        {"max_body": "9"}, {"max_requests": 1}, {"max_requests": True, "jti": "a"}, {"deadline_s": 0},
        {"deadline_s": "1"}, {"rate": 0}, {"rate": float("inf")}, {"concurrency": 1.1}, {"concurrency": float("nan")},
    ],
)  # fmt: skip
def test_claims_of_a_wrong_type_or_out_of_bounds_are_refused_even_if_signed(change: dict[str, Any]) -> None:
    claims = {name: value for name, value in (CLAIMS | change).items() if value is not None}
    text = jwt.api_jws.encode(json.dumps(claims).encode(), KEY, algorithm="EdDSA", headers={"kid": "k1"})
    refused = refusal(text)
    assert refused.status == 401
    assert "claims are invalid" in str(refused)


@pytest.mark.parametrize("now_s", [970, 1_000, 1_060, 1_089.9])
def test_clocks_may_differ_by_half_a_minute(now_s: float) -> None:
    check_time(TICKET, now_s)


@pytest.mark.parametrize(("now_s", "words"), [(1_090, "has expired"), (969.9, "is not valid yet")])
def test_a_ticket_is_refused_outside_its_time(now_s: float, words: str) -> None:
    with pytest.raises(TicketRefused, match=words) as refused:
        check_time(TICKET, now_s)
    assert refused.value.status == 401


def test_no_mutation_of_a_ticket_is_accepted() -> None:
    ticket = Ticket("alice", "classify", 1_000, 1_060, "classify-1", Limits(1_000, 3, "id", 2.5), Quota(5.0, 0.5))
    mutations = TicketMutations(sign(ticket, KEY, "k1"), KEY.public_key(), random.Random(15))
    for _ in range(5_000):
        assert refusal(mutations.next()).status == 401


def test_no_refusal_quotes_the_ticket() -> None:
    mutations = TicketMutations(sign(TICKET, KEY, "k1"), KEY.public_key(), random.Random(16))
    sentences = {str(refusal(mutations.next())) for _ in range(1_000)}
    assert len(sentences) <= 5
