"""Which steps of a cascade ran for the current request, and how long each took: the header `Server-Timing`.

Its form is that of the W3C's recommendation Server Timing: `quick;dur=3.1, exact;desc="skipped"`, in milliseconds.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple


class StepTiming(NamedTuple):
    """A step, what became of it, and the seconds that it took."""

    step: str
    status: str
    took_s: float


_timings: ContextVar[list[StepTiming] | None] = ContextVar("step_timings", default=None)


def begin_timings() -> list[StepTiming]:
    """A list for the steps of the current request, in whatever task they run."""
    timings = _timings.get()
    if timings is None:
        timings = []
        _timings.set(timings)
    return timings


def take_timings() -> str | None:
    """The header's value for the current request, None if no steps ran; a connection's next request begins anew."""
    timings = _timings.get()
    if timings is None:
        return None
    _timings.set(None)
    return ", ".join(_entry(timing) for timing in timings)


def _entry(timing: StepTiming) -> str:
    described = "" if timing.status == "ran" else f';desc="{timing.status}"'
    took = "" if timing.status == "skipped" else f";dur={timing.took_s * 1000:.1f}"
    return f"{timing.step}{took}{described}"
