"""Shows how far a training is: a bar with the time left on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from registry.runtime.visible_text import visible
from worker.cli.printing import write_line

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from worker.training.progress import Progress

_EVERY_S = 5.0
_now_s = time.monotonic


class LineProgress:
    """Writes a line when a stage begins that has several steps, and every five seconds while it lasts."""

    def __init__(self) -> None:
        self._stage, self._steps, self._done = "", 0, 0
        self._began_s = self._said_s = _now_s()

    def say(self, line: str) -> None:
        """Write a line."""
        write_line(line, sys.stdout)

    def stage(self, name: str, steps: int) -> None:
        """Begin a stage."""
        self._stage, self._steps, self._done = name, steps, 0
        self._began_s = self._said_s = _now_s()
        self.say(f"{name} ...")

    def advance(self, steps: int = 1) -> None:
        """Count steps as done."""
        self._done += steps
        now_s = _now_s()
        if now_s - self._said_s >= _EVERY_S and 0 < self._done < self._steps:
            self._said_s = now_s
            left_s = (now_s - self._began_s) / self._done * (self._steps - self._done)
            self.say(f"{self._stage}: {self._done} of {self._steps}, {left_s:.0f} s left.")


class BarProgress:
    """A bar that shares the terminal with lines, which are written above it."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("Starting", total=1)

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        self._bar.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    def stage(self, name: str, steps: int) -> None:
        """Begin the bar anew."""
        self._bar.reset(self._task, total=max(1, steps), description=name)
        self._bar.refresh()

    def advance(self, steps: int = 1) -> None:
        """Count steps as done."""
        self._bar.advance(self._task, steps)


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """The progress on standard output, if that is a terminal as a bar."""
    if not sys.stdout.isatty():
        yield LineProgress()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        yield BarProgress(bar)
