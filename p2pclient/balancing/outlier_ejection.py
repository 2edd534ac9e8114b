"""Whether a worker is in rotation: outcomes of attempts in, times out of rotation out; pure.

Two things take a worker out. A refused connection does so at once: no process is there, and one request at a time
tries it again, after 1 s, 2 s, ... (source: Finagle's FailFast). Five failures in a row
eject it for 30 s, longer each time (source: Envoy's outlier detection, gRPC A50). An answer to a request
that began afterwards ends either.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

FAILURES = 5
EJECTED_S = 30.0
EJECTED_MAX_S = 300.0
JITTER = 0.2

# For each of these that a worker has been back, one of its earlier ejections is forgotten (Envoy's interval).
FORGOTTEN_S = 10.0

REFUSED_S = 1.0
REFUSED_MAX_S = 30.0

# At most this part of the workers may be ejected at one time, but at least one.
EJECTED_PART = 0.1


class Outcome(enum.Enum):
    """What an attempt says of the worker that was asked."""

    OK = "it answered"
    FAILED = "5xx, no answer in time, or the connection broke"
    REFUSED = "no connection: no process is there"
    NEUTRAL = "nothing: the image was at fault, or the attempt was given up"


class Status(enum.Enum):
    """Where a worker stands."""

    IN = "in rotation"
    EJECTED = "out: it fails"
    REFUSED = "out: no process is there"


@dataclass(slots=True)
class EjectionState:
    """One worker's record of failures. `back_s`: when it may return (EJECTED) or be probed (REFUSED)."""

    status: Status = Status.IN
    failures: int = 0
    out_since_s: float = 0.0
    back_s: float = 0.0
    ejections: int = 0
    returned_s: float = 0.0
    refusals: int = 0


def may_eject(ejected: int, members: int) -> bool:
    """Whether one more of `members` workers may be ejected while `ejected` of them are."""
    return ejected < max(1, int(EJECTED_PART * members))


def record(
    state: EjectionState, outcome: Outcome, *, began_s: float, now_s: float, draw: float, ejectable: bool
) -> bool:
    """Take an attempt's outcome into the record; True: the worker is in another place than before.

    `draw` in [0, 1) is for jitter; `ejectable`: what `may_eject` says now.
    """
    if outcome is Outcome.OK:
        return _answered(state, began_s, now_s)
    if outcome is Outcome.REFUSED:
        return _refused(state, began_s, now_s, draw)
    if outcome is Outcome.FAILED:
        return _failed(state, now_s, draw, ejectable)
    return False


def readmit(state: EjectionState, now_s: float) -> bool:
    """Let an ejected worker return if its time is over; True if it does."""
    if state.status is not Status.EJECTED or now_s < state.back_s:
        return False
    _return(state, now_s)
    return True


def probe(state: EjectionState, now_s: float, draw: float) -> None:
    """One request tries a refused worker: the next may do so a backoff later, whatever becomes of this one."""
    state.refusals += 1
    state.back_s = now_s + refused_s(state.refusals, draw)


def refused_s(refusals: int, draw: float) -> float:
    """Seconds before a worker that refused so many times in a row is probed: 1, 2, 4, ... 30, jittered by 20%."""
    return min(REFUSED_MAX_S, REFUSED_S * 2.0 ** min(refusals - 1, 10)) * (1 + JITTER * (draw - 0.5))


def ejected_s(ejections: int, draw: float) -> float:
    """Seconds that the nth ejection lasts: 30 x n, at most 300, up to 20% shorter by `draw`."""
    return min(EJECTED_MAX_S, EJECTED_S * ejections) * (1 - JITTER * draw)


def _answered(state: EjectionState, began_s: float, now_s: float) -> bool:
    state.failures = 0
    if state.status is Status.IN or began_s < state.out_since_s:
        return False
    _return(state, now_s)
    return True


def _refused(state: EjectionState, began_s: float, now_s: float, draw: float) -> bool:
    moved = state.status is not Status.REFUSED
    if moved:
        state.refusals = 1
        state.back_s = now_s + refused_s(1, draw)
        state.status, state.out_since_s = Status.REFUSED, now_s
    return moved


def _failed(state: EjectionState, now_s: float, draw: float, ejectable: bool) -> bool:
    state.failures += 1
    if state.status is not Status.IN or state.failures < FAILURES or not ejectable:
        return False
    forgotten = int((now_s - state.returned_s) / FORGOTTEN_S)
    state.ejections = max(0, state.ejections - forgotten) + 1
    state.failures = 0
    state.status, state.out_since_s = Status.EJECTED, now_s
    state.back_s = now_s + ejected_s(state.ejections, draw)
    return True


def _return(state: EjectionState, now_s: float) -> None:
    state.status, state.returned_s = Status.IN, now_s
    state.failures = state.refusals = 0
