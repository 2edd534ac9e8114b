"""Whole answers that are ready to be sent again: for one second, whose date they hold, and within a bound of memory."""

from __future__ import annotations

from dataclasses import dataclass

from registry.discovery.rotations.rotation import Ring
from registry.discovery.service import Service

READY_AT_MOST_BYTES = 16 << 20
"""Answers that are kept ready in one second, over all lookups."""


@dataclass(slots=True)
class Ready:
    """The answers of one lookup that are ready from `since_s` to `until_s`, while `service` has this generation.

    `answers` holds those that have been given, by the turn of the ring that they begin with; each takes `step` turns.
    """

    service: Service
    generation: object
    since_s: int
    until_s: int
    ring: Ring
    step: int
    answers: list[bytes | None]


class ReadyAnswers:
    """The ready answers of all lookups, which end together with their second."""

    def __init__(self) -> None:
        self._all: list[Ready] = []
        self._room_bytes = READY_AT_MOST_BYTES

    def begin(self, service: Service, ring: Ring, step: int, *, second: int) -> Ready | None:
        """Ready answers of a further lookup, of which none has been given; None where there is no room."""
        size = len(ring.members)
        if not self._take(8 * size):
            return None
        ready = Ready(service, service.generation, second, second + 1, ring, step, [None] * size)
        self._all.append(ready)
        return ready

    def keep(self, ready: Ready, turn: int, answer: bytes) -> None:
        """Keep the answer that begins with this turn, unless there is no room."""
        if self._take(len(answer)):
            ready.answers[turn % len(ready.answers)] = answer

    def end(self) -> None:
        """The second is over: nothing is ready."""
        for ready in self._all:
            ready.until_s = 0
            ready.answers = [None]
        self._all.clear()
        self._room_bytes = READY_AT_MOST_BYTES

    def _take(self, size_bytes: int) -> bool:
        if size_bytes > self._room_bytes:
            return False
        self._room_bytes -= size_bytes
        return True
