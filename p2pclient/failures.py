"""An attempt or a lookup that failed, as a value: what kind of trouble, and the error that it becomes.

Transport and discovery raise a `Failure`; whether there is another attempt is decided from its `Trouble`.
"""

from __future__ import annotations

import enum
from collections.abc import Coroutine
from typing import Any, TypeVar

from p2pclient.errors import P2PError

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


class Trouble(enum.Enum):
    """What went wrong, in as many kinds as there are ways to go on."""

    FINAL = "another attempt would end the same way"
    REFUSED = "no worker there: no connection, or another process at that address"
    GONE = "the connection was reset or cut off"
    FAILED = "the worker answered that it cannot, broke the contract, or did not answer in time"
    UNKNOWN = "Consul has never named a worker of this service"
    NO_WORKER = "the lookup service has no worker to give"
    NO_LOOKUP = "the lookup service cannot be reached"


class Failure(Exception):
    """One attempt or lookup that failed, with the error that the call raises if it is the last one.

    `retry_after_s`: the server's Retry-After. `silent_s`: for how long an answer was waited for that did not come;
    None: there was one, or something else happened.
    """

    def __init__(
        self, trouble: Trouble, error: P2PError, *, retry_after_s: float = 0.0, silent_s: float | None = None
    ) -> None:
        super().__init__(str(error))
        self.trouble = trouble
        self.error = error
        self.retry_after_s = retry_after_s
        self.silent_s = silent_s


async def outcome_of(work: Coroutine[Any, Any, T]) -> T | Failure:
    """The result of `work`, or its Failure as a value that a call can keep, without frames that refer to the call."""
    try:
        return await work
    except Failure as failure:
        return without_frames(failure)


def without_frames(error: E) -> E:
    """The error without its tracebacks, those of its causes included.

    Frames keep the very errors that they raise or handle, or what leads to them. Through such a circle the
    image, which some of them hold, would stay in memory until the garbage collector runs.
    """
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error
