"""When to run a batch and of what size, and whom to refuse: pure decisions of the batcher.

Work-conserving: a free engine takes what is there. The only wait is for requests that are known to be on
their way (being received or decoded) when a batch has just finished, and it is short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WAIT_AT_MOST_S = 0.002
WAIT_SHARE = 0.1
"""Of one prediction: waiting longer could cost more than the fuller batch brings."""

CAP_TOLERANCE = 0.03
"""The cap is the smallest batch within so much of the best throughput: more only adds latency."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What the engine was measured to do: `cap` images in one batch, `batch_s` for it, `single_s` for one."""

    cap: int
    batch_s: float
    single_s: float

    @property
    def image_s(self) -> float:
        """Seconds an image in full batches."""
        return self.batch_s / self.cap


def learn_pace(seconds: Mapping[int, float]) -> Pace:
    """The cap from measured seconds by batch size (1 must be among them)."""
    best = max(size / seconds[size] for size in seconds)
    cap = min(size for size in seconds if size / seconds[size] >= best * (1 - CAP_TOLERANCE))
    return Pace(cap=cap, batch_s=seconds[cap], single_s=seconds[1])


def gather_s(pace: Pace, *, queued: int, coming: int, just_finished: bool) -> float:
    """How long a free engine should wait for more images before it takes what is queued; mostly 0."""
    if not just_finished or coming == 0 or queued >= pace.cap:
        return 0.0
    return min(WAIT_AT_MOST_S, WAIT_SHARE * pace.single_s)


def crowded(*, queued: int, most: int, before: bool) -> bool:
    """Whether the queue is nearly full: from four fifths of `most` on, until it has fallen below two fifths.

    The gap keeps a worker at the edge from changing its health with every check.
    """
    return queued * 5 >= most * (2 if before else 4)


def expected_wait_s(pace: Pace, *, queued: int, running: int) -> float:
    """When an image that arrives now would be answered: the work before it, and its own."""
    return (queued + running) * pace.image_s + pace.single_s
