"""A progress bar that shares a terminal with lines: they are written above the bar, which leaves no trace.

Without a terminal there is no bar, and this module, which loads rich, is not loaded.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text


class ProgressBar:
    """How many of `total` (None: unknown) images are done, how fast, and the time that is left.

    The bar is drawn on standard output if that is a terminal, else on standard error.
    """

    def __init__(self, total: int | None) -> None:
        self._lines_too = sys.stdout.isatty()
        self._console = Console(file=sys.stdout if self._lines_too else sys.stderr)
        columns = [_Counts(), _Rate(), _TimeLeft()] if total is not None else [_Counts(), _Rate(), TimeElapsedColumn()]
        ahead = BarColumn(bar_width=None) if total is not None else SpinnerColumn()
        self._progress = Progress(
            TextColumn("{task.description}"),
            ahead,
            *columns,
            console=self._console,
            transient=True,
            expand=total is not None,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("classify", total=total, failed=0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def done(self, *, failed: bool) -> None:
        """Count one image as done."""
        task = self._progress.tasks[self._task]
        self._progress.update(self._task, advance=1, failed=task.fields["failed"] + failed)

    def skipped(self) -> None:
        """Count one image less in the total."""
        total = self._progress.tasks[self._task].total
        if total is not None:
            self._progress.update(self._task, total=total - 1)

    def write(self, text: str) -> bool:
        """Write whole lines above the bar; False where the bar is elsewhere and the caller has to write."""
        if self._lines_too:
            self._above(text)
        return self._lines_too

    def complain(self, text: str) -> bool:
        """Write a line of standard error above the bar; False where standard error is no terminal."""
        if sys.stderr.isatty():
            self._above(text)
        return sys.stderr.isatty()

    def _above(self, text: str) -> None:
        self._console.out(text.removesuffix("\n"), highlight=False)


class _Counts(ProgressColumn):
    def render(self, task: Task) -> Text:
        """`done/total`, and how many failed."""
        total = "" if task.total is None else f"/{int(task.total)}"
        failed = f" ({task.fields['failed']} failed)" if task.fields["failed"] else ""
        return Text(f"{int(task.completed)}{total}{failed}", style="progress.download")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Images a second."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s", style="progress.data.speed")


class _TimeLeft(ProgressColumn):
    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Time to the end at this rate."""
        left_s = task.time_remaining
        if left_s is None:
            return Text("-:-- left", style="progress.remaining")
        minutes, seconds = divmod(int(left_s), 60)
        hours, minutes = divmod(minutes, 60)
        text = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
        return Text(f"{text} left", style="progress.remaining")
