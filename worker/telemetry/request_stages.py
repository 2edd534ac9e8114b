"""How long each stage of the current request took; noted only where somebody wants to know: a log, a trace, the caller.

A request that is traced has `worker.telemetry.traced_stages.TracedStages` in place of `Stages`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol


class ImageTrace(Protocol):
    """The trace of the request to which an image in a queue belongs."""

    def batch_ended(self, traces: Sequence[Any], *, began_s: float, ended_s: float, model: str, rows: int) -> None:
        """Note the batch that predicted these images, all of which are traced, and others; times are monotonic."""


class Stages:
    """The seconds of each stage of one request, as the stages end."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def note(self, stage: str, began_s: float, ended_s: float, images: Sequence[ImageTrace | None] = ()) -> None:
        """Note a stage that has ended; both times are monotonic. `images` are those whose batches were waited for."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + ended_s - began_s

    def image_trace(self) -> ImageTrace | None:
        """The trace for an image of the request that joins a queue; None: the request is not traced."""
        return None


current_stages: ContextVar[Stages | None] = ContextVar("current_stages", default=None)
"""The stages of the current task's request; None where nobody wants to know them."""


@contextmanager
def noting_stages() -> Iterator[Stages]:
    """The stages of what the current task does in this context, as they end; within another context, that one's."""
    noted = current_stages.get()
    if noted is not None:
        yield noted
        return
    with noting_stages_in(Stages()) as stages:
        yield stages


@contextmanager
def noting_stages_in(stages: Stages) -> Iterator[Stages]:
    """The stages of what the current task does in this context are noted in `stages`."""
    token = current_stages.set(stages)
    try:
        yield stages
    finally:
        current_stages.reset(token)


def note_batch(images: Sequence[ImageTrace | None], *, began_s: float, ended_s: float, model: str, rows: int) -> None:
    """Note a batch for those of its images that are traced, before they get their scores."""
    traces = [trace for trace in images if trace is not None]
    if traces:
        traces[0].batch_ended(traces, began_s=began_s, ended_s=ended_s, model=model, rows=rows)


def server_timing(seconds: Mapping[str, float]) -> str:
    """The stages as the header Server-Timing has them (W3C), in milliseconds: `receive;dur=0.4, decode;dur=2.1`."""
    return ", ".join(f"{stage};dur={each * 1000:.1f}" for stage, each in seconds.items())
