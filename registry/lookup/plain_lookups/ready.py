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

    `answers` holds them by the turn of the ring that they begin with, once the ring has come round within the second,
    before which keeping them is in vain; each takes `step` turns. `first_turn` is the first one of the second.
    """

    service: Service
    generation: object
    since_s: int
    until_s: int
    ring: Ring
    step: int
    first_turn: int
    answers: list[bytes | None]


class ReadyAnswers:
    """The ready answers of all lookups, which end together with their second."""

    def __init__(self) -> None:
        self._all: list[Ready] = []
        self._room_bytes = READY_AT_MOST_BYTES

    def begin(self, service: Service, ring: Ring, turn: int, step: int, *, second: int) -> Ready:
        """Ready answers of a further lookup, which has its first turn in this second; there are none yet."""
        ready = Ready(service, service.generation, second, second + 1, ring, step, turn, [None])
        self._all.append(ready)
        return ready

    def keep(self, ready: Ready, turn: int, answer: bytes) -> None:
        """Keep the answer that begins with this turn, if the ring has come round and there is room."""
        size = len(ready.ring.members)
        if turn - ready.first_turn < size:
            return
        if len(ready.answers) != size and self._take(8 * size):
            ready.answers = [None] * size
        if len(ready.answers) == size and self._take(len(answer)):
            ready.answers[turn % size] = answer

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
