"""What one call has of time, and what it has tried so far."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from p2pclient.errors import P2PError
from p2pclient.retrying import retry_policy
from p2pclient.retrying.retry_policy import Failure, Trouble
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
    worker seemed to hang. `asked` counts workers; `hedged`: one of them was asked beside another one.
    `news`: how often, as far as this call has heard, there was another list or somebody was back.
    """

    clock: Clock
    tried: dict[Worker, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    paid: bool = False
    hangs: bool = False
    asked: int = 0
    hedged: bool = False
    news: int = 0
    _refused: list[Worker] = field(default_factory=list)

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
            self._refused.append(worker)
            hold_s = max(hold_s, random.random() * retry_policy.DESERTED_S)
        self.tried[worker] = self.clock.spent_s + hold_s

    def hear(self, news: int) -> None:
        """Who was not there may be back since: as if they had not been tried."""
        if news != self.news:
            self.news = news
            for worker in self._refused:
                self.tried.pop(worker, None)
            self._refused.clear()


def final(failures: list[Failure]) -> P2PError:
    """The error of the failure that tells most, with the number of tries that were made; its cause stays with it."""
    failure = retry_policy.telling(failures)
    failure.error.attempts = len(failures)
    failure.error.__cause__ = failure.__cause__
    return failure.error
