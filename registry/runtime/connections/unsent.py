"""Decides which connections end because their clients do not read what is sent to them. Pure.

An answer that a client does not read takes memory until the connection ends. TCP by itself waits for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

STALLED_AFTER_S = 10.0
"""A connection ends when its client has taken none of an answer for so long."""

STALLED_WHILE_DRAINING_S = 2.0
"""The same while the server drains: clients that do not read hold up its end by a moment only."""

UNSENT_AT_MOST_BYTES = 64 << 20
"""What may wait to be sent over all connections together; the largest ones end first."""

BURST_S = 2.0
"""A client that reads has taken an answer within this time: the bound over all connections is not for such bursts."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unsent(Generic[T]):
    """What waits to be sent on a connection.

    `taken_bytes` counts what the client has acknowledged since the connection was made. Bytes have been waiting since
    `since_s` (monotonic), and `progress_s` is when the client last took some.
    """

    connection: T
    size_bytes: int
    taken_bytes: int
    since_s: float
    progress_s: float


def stalled_after_s(*, draining: bool) -> float:
    """How long a client may take nothing."""
    return STALLED_WHILE_DRAINING_S if draining else STALLED_AFTER_S


def next_unsent(before: Unsent[T], *, size_bytes: int, taken_bytes: int, now_s: float) -> Unsent[T]:
    """What is known after another look at a connection on which bytes wait."""
    progress_s = before.progress_s if taken_bytes == before.taken_bytes else now_s
    return Unsent(before.connection, size_bytes, taken_bytes, before.since_s, progress_s)


def connections_to_end(waiting: Iterable[Unsent[T]], *, now_s: float, draining: bool = False) -> list[T]:
    """The connections that make no progress, and while too many bytes wait over all, the largest of the others."""
    patience_s = stalled_after_s(draining=draining)
    ended: list[T] = []
    others: list[Unsent[T]] = []
    for unsent in waiting:
        if now_s - unsent.progress_s >= patience_s:
            ended.append(unsent.connection)
        else:
            others.append(unsent)
    total_bytes = sum(unsent.size_bytes for unsent in others)
    for unsent in sorted(others, key=lambda unsent: unsent.size_bytes, reverse=True):
        if total_bytes <= UNSENT_AT_MOST_BYTES:
            break
        if now_s - unsent.since_s >= BURST_S:
            ended.append(unsent.connection)
            total_bytes -= unsent.size_bytes
    return ended
