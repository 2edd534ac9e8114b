"""The kinds of attacks: what each one sends, how many attackers it takes, and what the callers may notice of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from benchmarks.attack.kinds import (
    bodies,
    connections,
    consul_lies,
    endings,
    lookups,
    numbers,
    pictures,
    registrations,
    terminals,
    unread,
)
from benchmarks.attack.targets import Findings, Targets

Attack = Callable[[Targets, Findings], Awaitable[None]]

RATIO_AT_MOST = 3.0
"""How many times its value without the attack the callers' p99 may reach."""


def _one(_: Targets) -> int:
    return 1


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of attack.

    sends:     what it does, for the table
    prepared:  builds what is sent, before anything is measured; what it returns attacks
    attackers: how many processes attack
    leaving:   how many workers are started that the attack may end
    finishes:  whether the attack ends when it has done everything, and not after a time
    slows:     whether the callers may wait until their deadline
    """

    sends: str
    prepared: Callable[[], Attack]
    attackers: Callable[[Targets], int] = _one
    leaving: int = 0
    finishes: bool = False
    slows: bool = False


def _in_thread(attack: Callable[[Targets, Findings], None]) -> Callable[[], Attack]:
    """For an attack that blocks its thread, and has nothing to build."""

    async def in_thread(targets: Targets, findings: Findings) -> None:
        await asyncio.to_thread(attack, targets, findings)

    return lambda: in_thread


def _given(attack: Attack) -> Callable[[], Attack]:
    """For an attack that has nothing to build."""
    return lambda: attack


KINDS: Mapping[int, Kind] = {
    1: Kind("expensive pictures", pictures.prepared, slows=True),
    2: Kind("clients that do not read", _given(unread.read_nothing)),
    3: Kind("unusable registrations", _given(registrations.register_unusable)),
    4: Kind("1,900 connections to each server", _given(connections.hold_connections), attackers=connections.attackers),
    5: Kind("packed lists, forms of heads", bodies.prepared),
    6: Kind("new texts of lookups, 1,000 workers", _given(lookups.look_up_with_new_texts)),
    7: Kind("answers of Consul that lie", _in_thread(consul_lies.answer_nonsense), finishes=True),
    8: Kind("redirects of Consul", _in_thread(consul_lies.redirect), finishes=True),
    9: Kind("1,300 services of others", _given(lookups.look_up_services_of_others), finishes=True),
    10: Kind("odd numbers, damaged state files", _given(numbers.tell_odd_numbers), finishes=True),
    11: Kind("escape sequences", _given(terminals.show_escape_sequences), finishes=True),
    12: Kind("SIGTERM, broken trailers, a daemon", _given(endings.end_things), finishes=True, leaving=endings.LEAVING),
}
"""By the number that the issue gave them."""
