"""Consul's blocking queries: how a question waits for a change, and with which index the next one is asked; pure."""

from __future__ import annotations

WAIT_S = 55.0
"""How long a blocking query waits: below the minute after which proxies tend to cut idle connections."""


def waiting(index: int, wait_s: float = WAIT_S) -> str:
    """The part of the query that makes Consul wait for something newer than `index`; none for index 0."""
    return f"&index={index}&wait={int(wait_s * 1000)}ms" if index else ""


def longest_s(index: int, wait_s: float = WAIT_S) -> float:
    """For how many seconds an answer may be on its way because it waits: Consul adds up to a sixteenth."""
    return wait_s * 17 / 16 if index else 0.0


def next_index(asked: int, answered: int) -> int:
    """The index of the next question, after a question with one index and its answer with another.

    Consul's rule: an index that goes backwards starts again at 0; and never ask with the 0 of a broken answer.
    """
    return 0 if answered < asked else max(1, answered)
