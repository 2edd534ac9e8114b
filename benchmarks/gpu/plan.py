"""Which parts the run has, and how long each may take: its own bound, and what earlier parts left of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Part(NamedTuple):
    """A part of the run: the module that measures it, and the seconds that it may take."""

    name: str
    module: str
    bound_s: float


PARTS = (
    Part("models", "benchmarks.gpu.parts.networks", 40),
    Part("serving", "benchmarks.gpu.parts.serving", 205),
    Part("engine", "benchmarks.gpu.parts.engine_rates", 55),
    Part("decoding", "benchmarks.gpu.parts.decoding", 20),
    Part("swap", "benchmarks.gpu.parts.swap", 40),
    Part("memory", "benchmarks.gpu.parts.memory", 55),
    Part("lookups", "benchmarks.gpu.parts.lookups", 40),
    Part("cores", "benchmarks.gpu.parts.cores", 85),
)
"""In this order: what matters most comes first, because a run that is interrupted keeps what it has."""


def limit_s(parts: Sequence[Part], number: int, *, elapsed_s: float, patience: float = 1.0) -> float:
    """How many seconds part `number` may take, `elapsed_s` after the run has begun; `patience` multiplies bounds."""
    return patience * sum(part.bound_s for part in parts[: number + 1]) - elapsed_s
