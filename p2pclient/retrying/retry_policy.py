"""Whether there is another attempt, when, with which worker, and when an attempt is late: pure decisions.

An attempt that fails is a `Failure`; the call hands its trouble to `decide` and does as told. Defaults follow
gRPC's retry design (A6): at most `attempts` that burden a worker, full-jitter backoff random in (0, 0.1 s x 2^n)
and at most 1 s, one deadline for everything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from p2pclient import timeouts
from p2pclient.failures import Failure, Trouble
from p2pclient.types import Worker


def backoff_s(failures: int, draw: float) -> float:
    """Seconds to wait after the nth failure; `draw` is uniform in [0, 1)."""
    return draw * min(timeouts.BACKOFF_MAX_S, timeouts.BACKOFF_S * 2.0 ** min(failures - 1, 10))


def decide(
    trouble: Trouble,
    *,
    failures: int,
    attempts: int,
    left_s: float,
    draw: float,
    retry_after_s: float = 0.0,
    waited_s: float = 0.0,
    reached: bool = True,
) -> float | None:
    """Seconds to wait after the nth failure before the next attempt; None: give up.

    `left_s` is the time to the deadline: a wait never reaches it. `failures` are those of the same kind:
    workers that could not be reached were not burdened, do not count towards `attempts`, and are passed over at
    once, for as long as there are others. `retry_after_s` matters to lookups only: a worker's concerns that
    worker and no other, and `choose` honours it. `waited_s` and `reached` (has it ever answered?) matter to
    lookups, and to workers that cannot be reached.
    """
    if trouble is Trouble.FINAL:
        return None
    if trouble in (Trouble.GONE, Trouble.FAILED) and failures >= attempts:
        return None
    unreachable = trouble in (Trouble.NO_LOOKUP, Trouble.REFUSED)
    if unreachable and not reached and failures >= attempts and waited_s >= timeouts.PATIENCE_S:
        return None
    if trouble is Trouble.UNKNOWN and waited_s >= timeouts.PATIENCE_S:
        return None
    looking = trouble in (Trouble.NO_LOOKUP, Trouble.NO_WORKER, Trouble.UNKNOWN)
    if trouble is Trouble.REFUSED or (trouble is Trouble.GONE and failures == 1):
        wait_s = 0.0  # no worker was burdened by the first attempt: on to another one at once
    else:
        wait_s = max(backoff_s(failures, draw), retry_after_s if looking else 0.0)
    return wait_s if fits(wait_s, left_s) else None


def fits(wait_s: float, left_s: float) -> bool:
    """Whether a wait leaves time for an attempt before the deadline."""
    return wait_s + timeouts.SHORTEST_ATTEMPT_S <= left_s


def most_informative(failures: Sequence[Failure]) -> Failure:
    """The failure that says most of why a call failed: the last that was more than a hurried attempt's silence."""
    told = (each for each in reversed(failures) if each.silent_s is None or each.silent_s >= timeouts.HURRIED_S)
    return next(told, failures[-1])


def attempt_limit_s(left_s: float, *, last: bool, usual_s: float | None = None) -> float:
    """Seconds after which an attempt is late, so that another worker is asked as well; all that is left: never.

    A worker that hangs must leave time for another to answer. `usual_s` is what 95 of 100 answers stay
    below: once that is known, ten times as much, and at least a second, tells a hung worker from a slow
    one. Else it is half of what is left, or all of it if the attempt is the `last`.
    """
    hung_s = math.inf if usual_s is None else hung_after_s(usual_s)
    if hung_s <= left_s / 2:
        return hung_s
    return left_s if last else left_s / 2


def hung_after_s(usual_s: float) -> float:
    """Seconds after which a worker hangs, most likely, where 95 of 100 answers take less than `usual_s`."""
    return max(timeouts.LATE_AT_LEAST_S, timeouts.LATE_TIMES * usual_s)


def first_late_s(longest_s: float) -> float:
    """Seconds after which an attempt is late while too few answers were seen to tell what is usual.

    The worker may hang, or the model may be slow, in which case nothing is lost by asking a second one. Twice the
    longest answer so far, but no less than a second.
    """
    return max(timeouts.LATE_AT_LEAST_S, 2.0 * longest_s)


def late_after_s(
    left_s: float,
    *,
    running: int,
    burdened: int,
    attempts: int,
    others: bool,
    usual_s: float | None,
    longest_s: float,
    hedge: bool,
) -> float | None:
    """Seconds from now after which the newest attempt of a call is late; None: it is waited for.

    `running` attempts are under way, this one included; `burdened` counts those, and those that burdened a worker
    and failed; `others`: a worker may be there that the call has not asked. With `hedge` a second attempt begins
    after `usual_s`, what 95 of 100 answers take; else, and for a third one, after ten times that and a second at
    least. Where it is not known yet what is usual, each further attempt waits twice as long as the one before, and
    there are at most `attempts`, or two. If no other worker is there, or no time for that, half of what is left is
    given to another attempt, while fewer than `attempts` have burdened a worker.
    """
    if others and usual_s is None:
        late_s = first_late_s(longest_s) * 2.0 ** min(running - 1, 10)
        if late_s < left_s / 2 and running < max(2, attempts):
            return late_s
    elif others and hedge and running == 1 and usual_s is not None and usual_s < left_s / 2:
        return usual_s
    limit_s = attempt_limit_s(left_s, last=burdened >= attempts, usual_s=usual_s if others else None)
    return None if limit_s >= left_s else limit_s


def lookup_limit_s(left_s: float, *, failures: int, attempts: int) -> float:
    """Seconds one lookup may take, such that `attempts` of them fit before the deadline."""
    return min(timeouts.LOOKUP_TRY_S, left_s if failures + 1 >= attempts else left_s / 2)


def choose(workers: Sequence[Worker], tried: Mapping[Worker, float]) -> tuple[Worker, float]:
    """The first worker that this call has not tried, free at once; else the one that is free first.

    `tried` maps a worker to the time at which it may be asked again (its Retry-After); the answer is a
    worker and that time, 0 for an untried one. `workers` are in rotation order and not empty.
    """
    chosen = min(workers, key=lambda worker: (worker in tried, tried.get(worker, 0.0)))
    return chosen, tried.get(chosen, 0.0)
