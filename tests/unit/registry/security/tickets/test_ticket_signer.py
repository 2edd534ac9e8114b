"""Signing tickets: one signature per second, caller and worker; never with a key that was given up."""

from __future__ import annotations

import pytest

from registry.security.caller import ANONYMOUS, Caller, Quota, Role
from registry.security.tickets.key_folder import new_key
from registry.security.tickets.ticket import Limits, verify
from registry.security.tickets.ticket_signer import NoSigningKey, SigningKey, TicketSigner

KEY, OTHER = (SigningKey(key.key_id, key.private) for key in (new_key(0), new_key(0)))
PUBLIC = {key.key_id: key.private.public_key() for key in (KEY, OTHER)}
ALICE = Caller("alice", frozenset({Role.CLIENT}), quota=Quota(50.0, 0.25))


class Clock:
    now_s = 1_000.5

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signer(clock: Clock) -> TicketSigner:
    signer = TicketSigner(lifetime_s=60, clock=clock)
    signer.use(KEY)
    return signer


def test_a_ticket_names_caller_service_worker_times_and_quota(signer: TicketSigner) -> None:
    ticket = verify(signer.ticket(ALICE, "cats", "cats-1"), PUBLIC)
    assert (ticket.caller, ticket.service, ticket.instance_id) == ("alice", "cats", "cats-1")
    assert (ticket.issued_s, ticket.expires_s, ticket.quota) == (1_000, 1_060, Quota(50.0, 0.25))


def test_a_second_shares_a_signature_per_caller_and_worker(signer: TicketSigner, clock: Clock) -> None:
    first = signer.ticket(ALICE, "cats", "cats-1")
    clock.now_s = 1_000.99
    assert signer.ticket(ALICE, "cats", "cats-1") is first
    others = {signer.ticket(ANONYMOUS, "cats", "cats-1"), signer.ticket(ALICE, "cats"), signer.ticket(ALICE, "dogs")}
    assert first not in others
    assert len(others) == 3
    clock.now_s = 1_001.0
    assert signer.ticket(ALICE, "cats", "cats-1") != first


def test_another_key_signs_at_once_and_changes_the_epoch(signer: TicketSigner) -> None:
    first, epoch = signer.ticket(ALICE, "cats"), signer.epoch()
    signer.use(OTHER)
    assert signer.epoch() != epoch
    assert verify(signer.ticket(ALICE, "cats"), {OTHER.key_id: PUBLIC[OTHER.key_id]})
    assert signer.ticket(ALICE, "cats") != first


def test_limits_are_signed_and_not_kept(signer: TicketSigner) -> None:
    limits = Limits(1_000, 1, "id", 2.0)
    assert verify(signer.narrow_ticket(ALICE, "cats", limits), PUBLIC).limits == limits
    assert verify(signer.ticket(ALICE, "cats"), PUBLIC).limits == Limits()


def test_without_a_key_nothing_is_signed(signer: TicketSigner) -> None:
    signer.use(None)
    assert not signer.ready
    with pytest.raises(NoSigningKey):
        signer.ticket(ALICE, "cats")


def test_no_key_is_in_a_repr() -> None:
    key = new_key(0)
    secret = key.private.private_bytes_raw()
    for shown in (repr(key), repr(SigningKey(key.key_id, key.private))):
        assert secret.hex() not in shown
        assert repr(secret) not in shown
