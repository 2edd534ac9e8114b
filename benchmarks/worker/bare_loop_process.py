"""The bare loop (`benchmarks.worker.bare_loop`) as a child process that runs when it is told to."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class BareLoop:
    """A bare loop that is ready.

    schedules: the best ones
    label:     of the first image
    tried:     images per second of all schedules
    """

    process: subprocess.Popen[str]
    schedules: tuple[str, ...]
    label: str
    tried: dict[str, float]

    def per_s(self, schedule: str, *, seconds: float, warm_s: float) -> float:
        """Images per second with one of its schedules."""
        return self._turn(self.schedules.index(schedule), seconds=seconds, warm_s=warm_s)

    def lone_ms(self, *, seconds: float, warm_s: float) -> float:
        """The median milliseconds of decoding and predicting one image."""
        return self._turn("alone", seconds=seconds, warm_s=warm_s)

    def _turn(self, what: object, *, seconds: float, warm_s: float) -> float:
        _ask(self.process, f"{what} {warm_s}")
        return float(_ask(self.process, f"{what} {seconds}"))


@contextlib.contextmanager
def bare_loop(
    model: Path, engine: str, images: Sequence[Path], *, log: Path, flags: Sequence[str] = ()
) -> Iterator[BareLoop]:
    """A bare loop in a process that ends with the block; exits with the end of its log if the loop does not start."""
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.worker.bare_loop", "--model", model]
    command += ["--engine", engine, *flags, *images]
    pipe = subprocess.PIPE
    with (
        open(log, "w", encoding="utf-8") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        try:
            found = _first_object(process)
            if found is None:
                sys.exit(f"The bare loop does not run: {log.read_text(errors='replace')[-800:]}")
            yield BareLoop(process, tuple(found["schedules"]), found["label"], found["tried"])
        finally:
            process.terminate()


def _first_object(process: subprocess.Popen[str]) -> dict[str, Any] | None:
    """The first line that is a JSON object; frameworks may print other lines before it."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith("{"):
            found: dict[str, Any] = json.loads(line)
            return found
    return None


def _ask(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin
    assert process.stdout
    print(line, file=process.stdin, flush=True)
    return process.stdout.readline()
