"""What one request may do: for whom, within which limits, and with which places."""

from __future__ import annotations

from typing import NamedTuple

from registry.security.quota import Places
from registry.security.tickets.ticket import NO_LIMITS, Limits


class Permission(NamedTuple):
    """The caller's name ("" at a port that everybody may use), its ticket's limits, the places that it holds."""

    caller: str = ""
    limits: Limits = NO_LIMITS
    places: Places | None = None


UNLIMITED = Permission()
