"""Asks for events once or again and again, and gives each to be shown once, whichever process of a lookup tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from p2pclient.discovery.operator_pages import EventPage, OperatorPages
from p2pclient.errors import AuthenticationError
from p2pclient.failures import Failure, outcome_of

PAUSE_S = 1.0
"""Between two questions where the lookup service does not answer."""

Event = dict[str, Any]


async def show_events(
    pages: OperatorPages,
    *,
    show: Callable[[Event], None],
    complain: Callable[[str], None],
    follow: bool,
    limit_s: float,
) -> None:
    """Show the events that are kept and, with `follow`, all that come.

    Raises a P2PError where the first request fails, or where the token is refused; later failures are told once each
    time, and tried again.
    """
    first = await outcome_of(pages.events(None, waits=False, limit_s=limit_s))
    if isinstance(first, Failure):
        raise first.error
    page = first
    shown_until = _shown(page, show, after=0.0)
    told = False
    while follow:
        outcome = await outcome_of(pages.events(page, waits=True, limit_s=limit_s))
        if isinstance(outcome, Failure):
            if isinstance(outcome.error, AuthenticationError):
                raise outcome.error
            if not told:
                complain(str(outcome.error))
            told = True
            await asyncio.sleep(PAUSE_S)
            continue
        told = False
        # Another process tells the events that it knows from its own beginning: the earlier ones have been shown.
        after = shown_until if outcome.log != page.log else 0.0
        shown_until = max(shown_until, _shown(outcome, show, after=after))
        page = outcome


def _shown(page: EventPage, show: Callable[[Event], None], *, after: float) -> float:
    """Show the events of a page that happened later than `after`; when the last one happened."""
    latest = after
    for event in page.events:
        at = event.get("at")
        moment = float(at) if isinstance(at, int | float) else 0.0
        if moment > after or not after:
            show(event)
        latest = max(latest, moment)
    return latest
