"""How long each stage of the current request took, for its line in the access log; noted only where there is one."""

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
    """The stages of what the current task does in this context, as they end."""
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
