"""Which key signs, which is published and which is given up, over a key's whole life."""

from __future__ import annotations

from registry.security.tickets.key_folder import PrivateKey, new_key
from registry.security.tickets.key_rotation import KeyPlan, plan

OLD, NEW = new_key(1_000), new_key(2_000)
BOTH = {OLD.key_id, NEW.key_id}


def at(now_s: float, *own: PrivateKey, published: set[str] | None = BOTH, revoked: tuple[str, ...] = ()) -> KeyPlan:
    return plan(own, published=published, revoked=revoked, lifetime_s=60, now_s=now_s)


def test_without_a_key_one_is_to_be_made() -> None:
    assert at(0) == KeyPlan(None)


def test_the_only_key_signs_at_once() -> None:
    assert at(1_000, OLD).signing is OLD


def test_a_new_key_signs_once_workers_had_time_to_learn_it() -> None:
    assert at(2_004, OLD, NEW).signing is OLD
    assert at(2_005, OLD, NEW).signing is NEW


def test_the_key_before_goes_when_its_last_ticket_has_expired() -> None:
    assert at(2_005 + 60 + 59, OLD, NEW) == KeyPlan(NEW)
    assert at(2_005 + 60 + 60, OLD, NEW) == KeyPlan(NEW, remove=(OLD,))


def test_a_revoked_key_goes_at_once_and_the_one_before_signs() -> None:
    assert at(2_010, OLD, NEW, revoked=(NEW.key_id,)) == KeyPlan(OLD, remove=(NEW,))
    assert at(2_010, NEW, revoked=(NEW.key_id,)) == KeyPlan(None, remove=(NEW,))


def test_a_key_that_consul_has_lost_is_published_again() -> None:
    assert at(2_010, OLD, NEW, published={OLD.key_id}) == KeyPlan(NEW, publish=(NEW,))


def test_a_revoked_key_is_never_published_again() -> None:
    assert at(2_010, NEW, published=set(), revoked=(NEW.key_id,)).publish == ()


def test_while_consul_is_away_keys_sign_and_none_is_published() -> None:
    assert at(2_010, OLD, NEW, published=None) == KeyPlan(NEW)


def test_processes_that_made_keys_at_the_same_moment_agree_on_one() -> None:
    first, second = sorted((new_key(1_000), new_key(1_000)), key=lambda key: key.key_id)
    keys = {first.key_id, second.key_id}
    assert at(1_001, first, second, published=keys).signing is first
    assert at(1_005, first, second, published=keys).signing is second
    assert at(1_130, first, second, published=keys).remove == (first,)
