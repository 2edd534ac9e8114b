"""How far a training is, is told as lines where there is no terminal, and as a bar on one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from worker.cli import training_progress
from worker.cli.training_progress import BarProgress, LineProgress, shown_progress


def test_lines_tell_the_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A stage begins with a line; every five seconds another says how many steps and seconds are left."""
    now_s = 0.0
    monkeypatch.setattr(training_progress, "_now_s", lambda: now_s)
    progress = LineProgress()
    progress.stage("Computing features", 100)
    for _ in range(4):
        now_s += 3.0
        progress.advance(10)
    now_s += 3.0
    progress.advance(60)
    assert capsys.readouterr().out.splitlines() == [
        "Computing features ...",
        "Computing features: 20 of 100, 24 s left.",
        "Computing features: 40 of 100, 18 s left.",
    ]


def test_lines_stay_above_the_bar() -> None:
    """The bar begins anew with each stage, and what is said stays as it is, without control characters or markup."""
    out = io.StringIO()
    with Progress(console=Console(file=out, force_terminal=True, width=80)) as bar:
        progress = BarProgress(bar)
        progress.stage("Reading files", 4)
        progress.advance(3)
        assert (bar.tasks[0].completed, bar.tasks[0].total, bar.tasks[0].description) == (3, 4, "Reading files")
        progress.stage("Comparing heads", 0)
        assert (bar.tasks[0].completed, bar.tasks[0].total) == (0, 1)
        progress.say("[bold]a\x1b]0;title\x07.jpg is left out: it is hidden.")
    assert "[bold]a\\x1b]0;title\\x07.jpg is left out: it is hidden." in out.getvalue()


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output that is captured is no terminal."""
    with shown_progress() as progress:
        assert isinstance(progress, LineProgress)
        progress.say("Found 3 photos of 2 labels.")
    assert capsys.readouterr().out == "Found 3 photos of 2 labels.\n"
