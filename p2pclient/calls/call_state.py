"""One call as a state machine: what has happened so far, and what comes next. Pure: no clock, no chance, no I/O.

                 begun                        failed, and none is under way
    FINDING ───────────────▶ ASKING ─────────────────────────────────────▶ PAUSING
       ▲                     │ ▲  │                                          │ │
       │                late └─┘  ├─ answered ──▶ ANSWERED                   │ │
       │             (one more)   └─ failed for good ──▶ FAILED ◀────────────┘ │
       │                                                    no time is left    │
       └───────────────────────────────────────────────────────────────────────┘
                                       paused
FINDING   a worker is looked for, and waited for if there is none
ASKING    one attempt is under way or, once those before it are late, several that race: the first answer counts
PAUSING   the attempts that were made have failed: backoff, and a permit of the retry budget is waited for
ANSWERED  a worker has answered
FAILED    another attempt would end the same way, or there is no attempt or no time left for one
A failure while others are still under way is only noted. What time allows is decided in `retry_policy`, and
`executor` does as the state says.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from p2pclient import timeouts
from p2pclient.errors import P2PError
from p2pclient.failures import Failure, Trouble
from p2pclient.retrying import retry_policy
from p2pclient.types import Worker

T = TypeVar("T")

_BURDENING = (Trouble.GONE, Trouble.FAILED)


class State(enum.Enum):
    """What a call is doing."""

    FINDING = "a worker is looked for"
    ASKING = "attempts are under way"
    PAUSING = "the next attempt is waited for"
    ANSWERED = "a worker has answered"
    FAILED = "no attempt can help"


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """An answer, the worker that gave it, and how many attempts the call has made."""

    value: T
    worker: Worker
    attempts: int


@dataclass(slots=True)
class CallState(Generic[T]):
    """Where one call stands, with at most `attempts` that burden a worker and fail; `hedge`: see `late_after_s`.

    `request_id` goes along with all that the call asks.
    `tried` maps the workers that failed to when, in seconds since the call began, they may be asked again.
    `under_way` are the workers of the attempts that run, in the order in which they began. `pause_s` is the time to
    wait in PAUSING, and `permit` whether the next attempt needs one of the budget. `changes` counts how often, as far
    as this call knows, there was another list of workers or a worker was back.
    """

    attempts: int
    hedge: bool = False
    request_id: str = ""
    state: State = State.FINDING
    answer: Answered[T] | None = None
    tried: dict[Worker, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    under_way: list[Worker] = field(default_factory=list)
    made: int = 0
    pause_s: float = 0.0
    permit: bool = False
    changes: int = 0
    _refused: list[Worker] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self.state is State.ANSWERED or self.state is State.FAILED

    def asking(self) -> bool:
        """Whether attempts are under way."""
        return self.state is State.ASKING

    def begun(self, worker: Worker) -> None:
        """FINDING or ASKING -> ASKING: an attempt begins."""
        self.state = State.ASKING
        self.made += 1
        self.under_way.append(worker)

    def answered(self, worker: Worker, value: T) -> None:
        """ASKING -> ANSWERED; an answer after the first one changes nothing."""
        self.under_way.remove(worker)
        if not self.over:
            self.state = State.ANSWERED
            self.answer = Answered(value, worker, self.made)

    def failed(
        self, worker: Worker, failure: Failure, *, spent_s: float, left_s: float, reached: bool, draw: float
    ) -> None:
        """ASKING -> ASKING if others are under way, else PAUSING, or FAILED if there is to be no other attempt.

        `reached`: whether any worker of the service has ever answered; `draw`, in [0, 1), is for jitter.
        """
        self.under_way.remove(worker)
        if self.over:
            return
        self._note(worker, failure, spent_s, draw)
        if failure.trouble is Trouble.FINAL:
            self.state = State.FAILED
        elif not self.under_way:
            alike = _BURDENING if failure.trouble in _BURDENING else (failure.trouble,)
            wait_s = retry_policy.decide(
                failure.trouble,
                failures=self._count(*alike),
                attempts=self.attempts,
                left_s=left_s,
                draw=draw,
                waited_s=spent_s,
                reached=reached,
            )
            self.state = State.FAILED if wait_s is None else State.PAUSING
            self.pause_s = wait_s or 0.0
            self.permit = failure.trouble is not Trouble.REFUSED

    def abandoned(self, worker: Worker) -> None:
        """An attempt was cancelled: another one has ended the call, or the caller has."""
        self.under_way.remove(worker)

    def paused(self) -> None:
        """PAUSING -> FINDING."""
        self.state = State.FINDING

    def out_of_time(self) -> None:
        """PAUSING -> FAILED."""
        self.state = State.FAILED

    def late_after_s(self, left_s: float, others: bool, usual_s: float | None, longest_s: float) -> float | None:
        """Seconds after which one more worker is asked beside those that are under way; None: never."""
        return retry_policy.late_after_s(
            left_s,
            running=len(self.under_way),
            burdened=len(self.under_way) + (self._count(*_BURDENING) if self.failures else 0),
            attempts=self.attempts,
            others=others,
            usual_s=usual_s,
            longest_s=longest_s,
            hedge=self.hedge,
        )

    @property
    def avoided(self) -> dict[Worker, float]:
        """The workers that another attempt beside the present ones is not made on."""
        return dict.fromkeys(self.under_way, 0.0) | self.tried

    def notice(self, changes: int) -> None:
        """Something has changed: a worker that refused may be back, and counts as not tried."""
        if changes != self.changes:
            self.changes = changes
            for worker in self._refused:
                self.tried.pop(worker, None)
            self._refused.clear()

    def error(self) -> P2PError:
        """The error to raise in FAILED."""
        error = final(self.failures)
        error.attempts = self.made
        return error

    def _note(self, worker: Worker, failure: Failure, spent_s: float, draw: float) -> None:
        """Keep a failure; a worker that refused, too, is left alone for a moment."""
        self.failures.append(failure)
        hold_s = failure.retry_after_s
        if failure.trouble is Trouble.REFUSED:
            self._refused.append(worker)
            hold_s = max(hold_s, draw * timeouts.PROBE_S)
        self.tried[worker] = spent_s + hold_s

    def _count(self, *troubles: Trouble) -> int:
        return sum(failure.trouble in troubles for failure in self.failures)


def final(failures: Sequence[Failure]) -> P2PError:
    """The error of the failure that tells most; its cause stays with it."""
    failure = retry_policy.most_informative(failures)
    failure.error.__cause__ = failure.__cause__
    return failure.error
