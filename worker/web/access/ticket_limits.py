"""The limits of the ticket of the request that is being answered; a request without a ticket has none of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from registry.security.tickets.ticket import NO_LIMITS, Limits

_limits: ContextVar[Limits] = ContextVar("ticket_limits", default=NO_LIMITS)


def ticket_limits() -> Limits:
    """The limits for the current task's request."""
    return _limits.get()


@contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """`limits` hold for what the current task does in this context."""
    token = _limits.set(limits)
    try:
        yield
    finally:
        _limits.reset(token)
