"""Decides which connections end because their clients do not read what is sent to them. Pure.

An answer that a client does not read takes memory until the connection ends. TCP by itself waits for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

STALLED_AFTER_S = 10.0
"""A connection ends when its client has taken none of an answer for so long."""

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


def next_unsent(
    before: Unsent[T] | None, connection: T, *, size_bytes: int, taken_bytes: int, now_s: float
) -> Unsent[T]:
    """What is known after another look at a connection on which bytes wait; `before` is None at the first look."""
    if before is None:
        return Unsent(connection, size_bytes, taken_bytes, now_s, now_s)
    progress_s = before.progress_s if taken_bytes == before.taken_bytes else now_s
    return Unsent(connection, size_bytes, taken_bytes, before.since_s, progress_s)


def connections_to_end(waiting: Iterable[Unsent[T]], *, now_s: float) -> list[T]:
    """The connections that make no progress, and while too many bytes wait over all, the largest of the others."""
    waiting = list(waiting)
    ended = [u.connection for u in waiting if now_s - u.progress_s >= STALLED_AFTER_S]
    others = [u for u in waiting if now_s - u.progress_s < STALLED_AFTER_S]
    total_bytes = sum(u.size_bytes for u in others)
    for unsent in sorted(others, key=lambda u: u.size_bytes, reverse=True):
        if total_bytes <= UNSENT_AT_MOST_BYTES:
            break
        if now_s - unsent.since_s >= BURST_S:
            ended.append(unsent.connection)
            total_bytes -= unsent.size_bytes
    return ended
