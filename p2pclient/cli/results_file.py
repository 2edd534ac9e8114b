"""The results file of a long run: one JSON object a line, which a later run continues."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import BinaryIO, Self

# How each line begins: see formats.as_json.
_BEGINNING = b'{"file": '

_ENOUGH_LABELS = 5
_ALL_SCORES = 0.99


class ForeignFile(Exception):
    """The file holds something else, or another run is writing it; the text says what to do."""


class ResultsFile:
    """A results file that is open for appending, by one process at a time.

        with ResultsFile("results.jsonl") as results:
            results.held                    # file -> labels, best first, of what is done already
            results.incomplete              # files of these with fewer than five labels, though the model has more
            results.append('{"file": ...}\\n')

    What failed in an earlier run is not held, so that it is tried again. A last line that was cut off in the
    middle is removed. Raises OSError, ForeignFile.
    """

    def __init__(self, path: str) -> None:
        self.held: dict[str, tuple[str, ...]] = {}
        self.incomplete: set[str] = set()
        self._path = path

    def __enter__(self) -> Self:
        self._file = open(self._path, "a+b", buffering=0)
        try:
            self._lock()
            self._read(self._file)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, line: str) -> None:
        """Add a whole line, with its end; the kernel has it when this returns, so that a killed process loses none."""
        data = memoryview(line.encode())
        while data:
            data = data[self._file.write(data) :]

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ForeignFile(f"{self._path} is being written by another run: wait for it, or name another") from None

    def _read(self, file: BinaryIO) -> None:
        file.seek(0)
        whole = 0
        for number, line in enumerate(_lines(file), start=1):
            if not line.endswith(b"\n"):
                self._check_cut_off(number, line)
                break
            whole += len(line)
            self._take(number, line)
        os.ftruncate(file.fileno(), whole)

    def _take(self, number: int, line: bytes) -> None:
        try:
            result = json.loads(line)
            name = result["file"]
            if "labels" in result:
                self.held[name] = tuple(label for label, _ in result["labels"])
                self._note_incomplete(name, [float(score) for _, score in result["labels"]])
            elif "error" not in result:
                raise KeyError("neither labels nor error")
        except (ValueError, TypeError, LookupError):
            raise self._not_ours(number) from None

    def _note_incomplete(self, name: str, scores: Sequence[float]) -> None:
        # Scores that add up to 1 are all that the model gives.
        if len(scores) < _ENOUGH_LABELS and sum(scores) < _ALL_SCORES:
            self.incomplete.add(name)
        else:
            self.incomplete.discard(name)

    def _check_cut_off(self, number: int, line: bytes) -> None:
        """Refuse a last line that is not the beginning of a result: it would be removed."""
        if not (line.startswith(_BEGINNING) or _BEGINNING.startswith(line)):
            raise self._not_ours(number)

    def _not_ours(self, number: int) -> ForeignFile:
        return ForeignFile(f"line {number} of {self._path} is no result of p2p classify: name another file")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of an unbuffered file, read in large pieces."""
    rest = b""
    while piece := file.read(1 << 20):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest
