"""What one call has of time, and what it has tried so far."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from p2pclient import retry
from p2pclient.errors import P2PError
from p2pclient.retry import Failure, Trouble
from p2pclient.types import Worker


class Clock:
    """The time of one call: what is spent and what is left of it, in seconds."""

    __slots__ = ("_began_s", "_total_s")

    def __init__(self, total_s: float) -> None:
        self._began_s = time.monotonic()
        self._total_s = total_s

    @property
    def spent_s(self) -> float:
        """Since the call began."""
        return time.monotonic() - self._began_s

    @property
    def left_s(self) -> float:
        """Until its deadline."""
        return self._total_s - self.spent_s


@dataclass(slots=True)
class Course:
    """What one call has tried: `tried` maps workers to when, by its clock, they may be asked again.

    `paid`: another attempt has been taken from the budget and not been made yet; `hangs`: if so, because the
    worker seemed to hang. `hedges` counts attempts that were made beside another one.
    """

    clock: Clock
    tried: dict[Worker, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    paid: bool = False
    hangs: bool = False
    hedges: int = 0

    def count(self, *troubles: Trouble) -> int:
        """How many tries came to such an end."""
        return 0 if not self.failures else sum(failure.trouble in troubles for failure in self.failures)

    @property
    def nobody_yet(self) -> bool:
        """Whether every try so far met with nobody."""
        return self.count(Trouble.REFUSED) == len(self.failures)

    def note(self, worker: Worker, failure: Failure) -> None:
        """A try came to nothing; a worker that was not there, too, is left alone for a moment."""
        self.failures.append(failure)
        hold_s = failure.retry_after_s
        if failure.trouble is Trouble.REFUSED:
            hold_s = max(hold_s, random.random() * retry.DESERTED_S)
        self.tried[worker] = self.clock.spent_s + hold_s


def final(failures: list[Failure]) -> P2PError:
    """The error of the last failure, with the number of tries that were made; its cause stays with it."""
    error = failures[-1].error
    error.attempts = len(failures)
    error.__cause__ = failures[-1].__cause__
    return error
