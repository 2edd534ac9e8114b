"""Which of a lookup host's ticket keys signs, which to publish, and which to give up. Pure.

A new key signs LEARNING_S after it was made, when workers have learned its public half from Consul. The one before
stays valid until the last ticket that it signed has expired.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from registry.security.tickets.key_folder import PrivateKey
from registry.security.tickets.ticket import SKEW_S

LEARNING_S = 5
"""The time that workers have to learn a new key; Consul's blocking queries take milliseconds."""


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What to do now: sign with `signing` (None: make a key first), publish some keys, remove others."""

    signing: PrivateKey | None
    publish: tuple[PrivateKey, ...] = ()
    remove: tuple[PrivateKey, ...] = ()


def plan(
    own: Sequence[PrivateKey],
    *,
    published: Collection[str] | None,
    revoked: Collection[str],
    lifetime_s: float,
    now_s: float,
) -> KeyPlan:
    """What follows from the host's `own` keys, the oldest first.

    `published` are the ids of the keys in Consul, None while they are not known: a key of a lookup host's folder was
    published once, so that it signs even so. `revoked` are the ids of keys that an operator has revoked.
    """
    valid = [key for key in own if key.key_id not in revoked]
    learned = [key for key in valid if key.created_s + LEARNING_S <= now_s]
    signing = learned[-1] if learned else next(iter(valid), None)
    retired = [key for key, successor in pairwise(learned) if _last_use_s(successor, lifetime_s) <= now_s]
    remove = [key for key in own if key.key_id in revoked or key in retired]
    missing = [key for key in valid if published is not None and key.key_id not in published and key not in retired]
    return KeyPlan(signing, tuple(missing), tuple(remove))


def _last_use_s(successor: PrivateKey, lifetime_s: float) -> float:
    """When the last ticket has expired that was signed before `successor` took over."""
    return successor.created_s + LEARNING_S + lifetime_s + 2 * SKEW_S
