"""Asks for events once or again and again, and gives each to be shown once, whichever process of a lookup tells it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from p2pclient.discovery.operator_pages import OperatorPages
from p2pclient.errors import AuthenticationError
from p2pclient.failures import Failure, outcome_of

PAUSE_S = 1.0
"""Between two questions where the lookup service does not answer."""

APART_S = 5.0
"""How far apart two processes of a lookup service may notice the same event."""

REMEMBERED = 1000

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
    page, shown = first, _Shown(show)
    shown.add(page.events)
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
        shown.add(outcome.events if outcome.log == page.log else shown.news(outcome.events))
        page = outcome


class _Shown:
    """The events that were shown last, with `show`: another process tells the same ones again, a moment later."""

    def __init__(self, show: Callable[[Event], None]) -> None:
        self._show = show
        self._last: deque[tuple[float, str, str]] = deque(maxlen=REMEMBERED)
        self._until_s = 0.0

    def add(self, events: Iterable[Event]) -> None:
        """Show events."""
        for event in events:
            self._show(event)
            self._last.append(_identity(event))
            self._until_s = max(self._until_s, self._last[-1][0])

    def news(self, events: Iterable[Event]) -> list[Event]:
        """Those of another process's events that were not shown: neither earlier ones nor the same ones."""
        return [event for event in events if self._is_new(*_identity(event))]

    def _is_new(self, at_s: float, kind: str, text: str) -> bool:
        if at_s <= self._until_s - APART_S:
            return False
        return all(abs(at_s - at) >= APART_S or (kind, text) != tuple(same) for at, *same in self._last)


def _identity(event: Event) -> tuple[float, str, str]:
    at = event.get("at")
    return float(at) if isinstance(at, int | float) else 0.0, str(event.get("kind")), str(event.get("text"))
