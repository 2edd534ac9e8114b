"""The id of a call, which goes along with its lookups and its attempts: all who handle it can name it in their logs."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-Request-Id"

_current: ContextVar[str] = ContextVar("request_id", default="")


class RequestIds:
    """Makes the ids of one client's calls, from a counter: they identify, and are no secret."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def new(self) -> str:
        """The id of the next call; no other client makes the same."""
        return f"{self._prefix}-{next(self._numbers):x}"


@contextmanager
def identified(request_id: str) -> Iterator[None]:
    """The exchanges in this context belong to the call of this id."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)


def request_id_header() -> Mapping[str, str]:
    """The header with the current call's id; none outside a call."""
    request_id = _current.get()
    return {HEADER: request_id} if request_id else {}
