"""Which connections end because their clients do not read."""

from __future__ import annotations

from registry.runtime.connections.unsent import (
    BURST_S,
    STALLED_AFTER_S,
    STALLED_WHILE_DRAINING_S,
    UNSENT_AT_MOST_BYTES,
    Unsent,
    connections_to_end,
    next_unsent,
)

HALF = UNSENT_AT_MOST_BYTES // 2


def looked_at(*taken_bytes: int, every_s: float = 1.0) -> Unsent[str]:
    """A connection that was looked at every second, when its client had taken so many bytes."""
    unsent = Unsent("a", 1, taken_bytes[0], 0.0, 0.0)
    for number, taken in enumerate(taken_bytes):
        unsent = next_unsent(unsent, size_bytes=1, taken_bytes=taken, now_s=number * every_s)
    return unsent


def test_a_client_that_takes_nothing_for_long_is_ended() -> None:
    """The connection ends when the time is over since its client last took a byte, and not before."""
    stalled = looked_at(5, 7, 7, 7)
    assert connections_to_end([stalled], now_s=1 + STALLED_AFTER_S - 0.1) == []
    assert connections_to_end([stalled], now_s=1 + STALLED_AFTER_S) == ["a"]


def test_while_the_server_drains_clients_have_less_time() -> None:
    """A client that takes nothing holds up the end of a server by two seconds only."""
    stalled = looked_at(5, 5)
    assert connections_to_end([stalled], now_s=STALLED_WHILE_DRAINING_S) == []
    assert connections_to_end([stalled], now_s=STALLED_WHILE_DRAINING_S, draining=True) == ["a"]


def test_a_client_that_reads_slowly_is_not_ended() -> None:
    """A byte in each ten seconds is progress."""
    slow = looked_at(*range(50), every_s=STALLED_AFTER_S - 1)
    assert connections_to_end([slow], now_s=slow.progress_s + STALLED_AFTER_S - 1) == []


def test_the_largest_end_when_too_much_waits_over_all() -> None:
    """Over the bound the largest connections end, as many as are needed; the small ones stay."""
    waiting = [Unsent("small", 1000, 0, 0.0, 5.0), Unsent("a", HALF, 0, 0.0, 5.0), Unsent("b", HALF + 1, 0, 0.0, 5.0)]
    assert connections_to_end(waiting, now_s=5.0) == ["b"]
    assert connections_to_end(waiting[:2], now_s=5.0) == []


def test_a_burst_of_answers_is_not_too_much() -> None:
    """Many clients that are all answered at once have time to read."""
    waiting = [Unsent(n, 1 << 20, 0, 5.0, 5.0) for n in range(200)]
    assert connections_to_end(waiting, now_s=5.0 + BURST_S - 0.1) == []
    assert len(connections_to_end(waiting, now_s=5.0 + BURST_S)) == 200 - 64
