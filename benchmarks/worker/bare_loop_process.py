"""The bare loop (`worker.bare_loop`) as a contestant: a process that waits for its turn and prints a line for each."""

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
class Bare:
    """The loop once it is ready: its best ways, the label that it found in the first image, and all rates it tried."""

    process: subprocess.Popen[str]
    ways: tuple[str, ...]
    label: str
    tried: dict[str, float]

    def per_s(self, way: str, *, seconds: float, warm_s: float) -> float:
        """Images a second in one of its ways."""
        return self._turn(self.ways.index(way), seconds=seconds, warm_s=warm_s)

    def lone_ms(self, *, seconds: float, warm_s: float) -> float:
        """The median milliseconds of decoding and predicting one image."""
        return self._turn("alone", seconds=seconds, warm_s=warm_s)

    def _turn(self, what: object, *, seconds: float, warm_s: float) -> float:
        _ask(self.process, f"{what} {warm_s}")
        return float(_ask(self.process, f"{what} {seconds}"))


@contextlib.contextmanager
def bare_loop(model: Path, engine: str, images: Sequence[Path], *, log: Path) -> Iterator[Bare]:
    """The loop, ready, in a process of its own that ends with the block; exits with the end of its log if it fails."""
    command = [sys.executable, "-m", "benchmarks.worker.bare_loop", "--model", model, "--engine", engine, *images]
    pipe = subprocess.PIPE
    with (
        open(log, "w", encoding="utf-8") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        try:
            found = _first_object(process)
            if found is None:
                sys.exit(f"The bare loop does not run: {log.read_text(errors='replace')[-800:]}")
            yield Bare(process, tuple(found["ways"]), found["label"], found["tried"])
        finally:
            process.terminate()


def _first_object(process: subprocess.Popen[str]) -> dict[str, Any] | None:
    """The first line that is a JSON object; what frameworks print before that is passed over."""
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
