"""How long each stage of the current request took; noted only where somebody wants to know: a log, or the caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Stages = dict[str, float]
"""Seconds by stage."""

current_stages: ContextVar[Stages | None] = ContextVar("current_stages", default=None)
"""The stages of the current task's request; None where nobody wants to know them."""


@contextmanager
def noting_stages() -> Iterator[Stages]:
    """The stages of what the current task does in this context, as they end; within another context, that one's."""
    noted = current_stages.get()
    if noted is not None:
        yield noted
        return
    stages: Stages = {}
    token = current_stages.set(stages)
    try:
        yield stages
    finally:
        current_stages.reset(token)


def note_stage(stage: str, seconds: float) -> None:
    """Note a stage that has ended, if somebody wants to know."""
    stages = current_stages.get()
    if stages is not None:
        stages[stage] = stages.get(stage, 0.0) + seconds


def server_timing(stages: Stages) -> str:
    """The stages as the header Server-Timing has them (W3C), in milliseconds: `receive;dur=0.4, decode;dur=2.1`."""
    return ", ".join(f"{stage};dur={seconds * 1000:.1f}" for stage, seconds in stages.items())
