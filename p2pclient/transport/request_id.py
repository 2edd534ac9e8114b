"""The id of a call, which goes along with its lookups and its attempts: all who handle it can name it in their logs."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
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


class Identified(AbstractContextManager[None]):
    """The exchanges in this context belong to the call of this id. A class: a generator costs each call more."""

    __slots__ = ("_request_id", "_token")

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def __enter__(self) -> None:
        self._token = _current.set(self._request_id)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def request_id_header() -> Mapping[str, str]:
    """The header with the current call's id; none outside a call."""
    request_id = _current.get()
    return {HEADER: request_id} if request_id else {}
