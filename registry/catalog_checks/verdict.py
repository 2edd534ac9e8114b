"""Decides what the outcomes of a worker's checks mean: its status, and whether its registration is removed. Pure.

One process checks all workers from one place. So that a fault of that place does not empty the catalogue, a worker
that gives no answer at all is not removed soon while most of the others give none either.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from registry.instances.instance import Health

FAILURES_BEFORE_CRITICAL = 2
"""As in a registration at an agent: a single failure changes nothing."""

REMOVE_AFTER_S = 60.0
"""A worker that has failed for so long is removed, as an agent would do."""

REMOVE_UNREACHED_AFTER_S = 600.0
"""The same for a worker that gives no answer while most of the others give none either."""


class Finding(enum.Enum):
    """What one check found."""

    PASSING = enum.auto()
    WARNING = enum.auto()
    ANSWERED = enum.auto()
    """An answer other than those of a healthy worker: another process, or one that is loading."""
    REFUSED = enum.auto()
    """Nobody listens at the port."""
    NO_ANSWER = enum.auto()
    """A time-out or an unreachable host: the fault may be the worker's, the network's or the checking process's."""

    @property
    def failed(self) -> bool:
        """Whether it is not an answer of a healthy worker."""
        return self not in (Finding.PASSING, Finding.WARNING)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one worker: how often in a row it has failed, since when it has, and the last finding."""

    failures: int = 0
    failing_since_s: float | None = None
    finding: Finding = Finding.PASSING

    @property
    def no_answer(self) -> bool:
        """Whether the last check had no answer."""
        return self.finding is Finding.NO_ANSWER


def next_standing(standing: Standing, finding: Finding, *, now_s: float) -> Standing:
    """The standing after one more finding."""
    if not finding.failed:
        return Standing(finding=finding)
    since_s = now_s if standing.failing_since_s is None else standing.failing_since_s
    return replace(standing, failures=standing.failures + 1, failing_since_s=since_s, finding=finding)


def status_of(standing: Standing, known: Health) -> Health:
    """The status to be written; `known` is what the catalogue says, which one failure does not change."""
    if not standing.finding.failed:
        return Health.WARNING if standing.finding is Finding.WARNING else Health.PASSING
    return Health.CRITICAL if standing.failures >= FAILURES_BEFORE_CRITICAL else known


def is_to_be_removed(standing: Standing, *, drained: bool, most_unreached: bool, now_s: float) -> bool:
    """Whether the registration goes. `most_unreached`: more than half of all workers give no answer at the moment.

    One that an operator has drained stays: its worker would otherwise register without the maintenance when it is back.
    """
    if drained or standing.failing_since_s is None or standing.failures < FAILURES_BEFORE_CRITICAL:
        return False
    doubtful = standing.no_answer and most_unreached
    return now_s - standing.failing_since_s >= (REMOVE_UNREACHED_AFTER_S if doubtful else REMOVE_AFTER_S)
