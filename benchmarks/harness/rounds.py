"""Rounds in which all contestants take a turn, so that a slow minute of the machine slows all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping


def alternate(contestants: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """What each contestant measured, one value per round; the order of the turns is reversed every second round."""
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in list(contestants)[:: -1 if number % 2 else 1]:
            measured[name].append(contestants[name]())
        progress(f"round {number + 1} of {rounds}")
    return measured


def progress(line: str) -> None:
    """Tell on standard error how far a benchmark is; standard output has the tables only."""
    print(line, file=sys.stderr, flush=True)
