"""Whether to try again, when, with whom and for how long: pure decisions over what went wrong.

A try that comes to nothing is a `Failure`; the client hands its trouble to `decide` and does as told.
Defaults follow gRPC's retry design (A6): at most `attempts` requests in all, full-jitter backoff
random in (0, 0.1 s x 2^n) and at most 1 s, one deadline for everything.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence

from p2pclient.errors import P2PError
from p2pclient.types import Worker

BACKOFF_S = 0.1
BACKOFF_MAX_S = 1.0

# A lookup is answered from memory: one that takes longer than this is better asked again.
LOOKUP_TRY_S = 5.0

# Where there is another lookup service to ask, less patience is needed.
LOOKUP_TURN_S = 1.0

# A subscription that is being made is waited for as long as one lookup service would be.
SUBSCRIBE_S = 1.0

# A worker that has taken this many times what 95 of 100 answers take, and at least a second, hangs, most likely.
HUNG_TIMES = 10.0
HUNG_AT_LEAST_S = 1.0

# Where all workers refuse connections, the calls that wait try one this often, together.
DESERTED_S = 0.1

# A lookup service, or workers, that have never answered this client are more likely at a wrong address than
# restarting: after this long the user is told. What has answered before is waited for until the deadline.
PATIENCE_S = 5.0

# A try with less time than this to live would only hide the error of the one before it.
SHORTEST_TRY_S = 0.01

# A silence of less than this tells nothing of who was asked, where an earlier try met with more than silence.
HURRIED_S = 0.1


class Trouble(enum.Enum):
    """What went wrong, in as many kinds as there are ways to go on."""

    FINAL = "another try would say the same"
    REFUSED = "nobody there: no connection, or another process at that address"
    GONE = "reset or cut off"
    HUNG = "took so much longer than answers do that it was given up"
    FAILED = "answered that it cannot, answered nonsense, or did not answer in time"
    NO_WORKER = "the lookup service has no worker to give"
    NO_LOOKUP = "the lookup service cannot be reached"


class Failure(Exception):
    """One try that came to nothing, the error it becomes if there is no other try, and any Retry-After.

    `silent_s`: how long it was waited for an answer that did not come; None: it did, or something else happened.
    """

    def __init__(
        self, trouble: Trouble, error: P2PError, *, retry_after_s: float = 0.0, silent_s: float | None = None
    ) -> None:
        super().__init__(str(error))
        self.trouble = trouble
        self.error = error
        self.retry_after_s = retry_after_s
        self.silent_s = silent_s


def backoff_s(failures: int, draw: float) -> float:
    """Seconds to wait after the nth failure; `draw` is uniform in [0, 1)."""
    return draw * min(BACKOFF_MAX_S, BACKOFF_S * 2.0 ** min(failures - 1, 10))


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
    """Seconds to wait after the nth failure before the next try; None: give up.

    `left_s` is the time to the deadline: a wait never reaches it. `failures` are those of the same kind:
    workers that could not be reached were not burdened, count neither as attempts nor with the others, and
    are passed over at once, for as long as there are others. `retry_after_s` matters to lookups only: a
    worker's concerns that worker and no other, and is honoured by `choose`. `waited_s` and `reached` (has
    it ever answered?) matter to lookups, and to workers that cannot be reached.
    """
    if trouble is Trouble.FINAL:
        return None
    if trouble in (Trouble.GONE, Trouble.FAILED) and failures >= attempts:
        return None
    nobody = trouble in (Trouble.NO_LOOKUP, Trouble.REFUSED)
    if nobody and not reached and failures >= attempts and waited_s >= PATIENCE_S:
        return None
    looking = trouble in (Trouble.NO_LOOKUP, Trouble.NO_WORKER)
    if trouble in (Trouble.REFUSED, Trouble.HUNG) or (trouble is Trouble.GONE and failures == 1):
        wait_s = 0.0  # nobody was burdened by the first try: on to another worker at once
    else:
        wait_s = max(backoff_s(failures, draw), retry_after_s if looking else 0.0)
    return wait_s if fits(wait_s, left_s) else None


def fits(wait_s: float, left_s: float) -> bool:
    """Whether a wait leaves time for a try before the deadline."""
    return wait_s + SHORTEST_TRY_S <= left_s


def telling(failures: Sequence[Failure]) -> Failure:
    """The failure that says most of why a call failed: the last that was more than a hurried try's silence."""
    told = (each for each in reversed(failures) if each.silent_s is None or each.silent_s >= HURRIED_S)
    return next(told, failures[-1])


def attempt_limit_s(left_s: float, *, last: bool, usual_s: float | None = None) -> float:
    """Seconds after which an attempt had better be given up for another one; all that is left: it is not.

    A worker that hangs must leave time for another to answer. `usual_s` is what 95 of 100 answers stay
    below: once that is known, ten times as much, and at least a second, tells a hung worker from a slow
    one, and the attempt does not count. Else it is half of what is left, or all of it if it is the `last`.
    """
    hung_s = math.inf if usual_s is None else max(HUNG_AT_LEAST_S, HUNG_TIMES * usual_s)
    if hung_s <= left_s / 2:
        return hung_s
    return left_s if last else left_s / 2


def first_late_s(longest_s: float) -> float:
    """Seconds after which a worker is late while too few answers were seen to tell what is usual.

    Then a second one is asked beside it, and whoever answers first counts: the worker may hang, or the model
    may be slow, in which case nothing is lost. Twice the longest answer so far, but no less than a second.
    """
    return max(HUNG_AT_LEAST_S, 2.0 * longest_s)


def lookup_limit_s(left_s: float, *, failures: int, attempts: int) -> float:
    """Seconds one lookup may take, such that `attempts` of them fit before the deadline."""
    return min(LOOKUP_TRY_S, left_s if failures + 1 >= attempts else left_s / 2)


def choose(workers: Sequence[Worker], tried: Mapping[Worker, float]) -> tuple[Worker, float]:
    """The first worker that this call has not tried, free at once; else the one that is free first.

    `tried` maps a worker to the time at which it may be asked again (its Retry-After); the answer is a
    worker and that time, 0 for an untried one. `workers` are in rotation order and not empty.
    """
    chosen = min(workers, key=lambda worker: (worker in tried, tried.get(worker, 0.0)))
    return chosen, tried.get(chosen, 0.0)
