"""Decides which followed service is given up when another one has to be followed and there is no room. Pure.

Each followed service holds a connection to Consul, which allows 200 per address (`http_max_conns_per_client`), those
of the heartbeats of this host's workers among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FOLLOWED_AT_MOST = 150
"""Services that the lookup processes of one command follow together: a quarter of Consul's limit is left to others."""

IDLE_S = 60.0
"""A service that nobody has asked for during this time may be given up for another one: as long as a long poll."""


@dataclass(frozen=True, slots=True)
class FollowedService:
    """A service that is followed: whether a worker of ours registered it, and for how long nobody has asked for it."""

    name: str
    ours: bool
    idle_s: float


def service_to_give_up(followed: Iterable[FollowedService], *, ours: bool, asked_for: bool) -> str | None:
    """The name of the service that makes room for a new one; None where the new one has to wait.

    `ours`: workers of ours registered the new one; then any service of others makes room. Otherwise, and where all
    are ours, only an idle one does; a service of ours that nobody has `asked_for` displaces none of ours.
    """
    services = list(followed)
    candidates = [s for s in services if not s.ours and (ours or s.idle_s >= IDLE_S)]
    if not candidates and ours and asked_for:
        candidates = [s for s in services if s.idle_s >= IDLE_S]
    longest = max(candidates, key=lambda service: service.idle_s, default=None)
    return None if longest is None else longest.name
