"""File names -> labels, without a server: one line of output per file, as soon as its labels are known."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from worker.errors import WorkerError
from worker.inference.model import Model


def label_files(names: Iterable[str], *, model: Model, top: int, as_json: bool, out: TextIO, err: TextIO) -> int:
    """Label the files that `names` gives, each before the next name is asked for; empty names are passed over.

    A line of `out` is `cat.jpg: tabby 0.612345, tiger cat 0.301234`, or with `as_json`
    `{"file": "cat.jpg", "labels": [["tabby", 0.612345], ...]}`, with the `top` best labels. A file that cannot
    be labelled gets a line on `err` and stops nothing. Returns the exit code: 1 if any failed, else 0.
    """
    code = 0
    for name in names:
        file = name.rstrip("\r\n")
        if not file:
            continue
        try:
            best = _best(Path(file), model, top)
        except (OSError, ValueError, WorkerError) as error:  # ValueError: a name with a null byte
            _write(f"{file}: {_reason(error)}", err)
            code = 1
            continue
        _write(_line(file, best, as_json=as_json), out)
    return code


def _write(line: str, stream: TextIO) -> None:
    """Write a line at once; characters that the stream's encoding lacks (names that are not UTF-8) are escaped."""
    encoding = stream.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def _best(file: Path, model: Model, top: int) -> list[tuple[str, float]]:
    (scores,) = model.predict([model.decode(file.read_bytes())])
    return model.top(scores, top)


def _line(file: str, best: list[tuple[str, float]], *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"file": file, "labels": best})
    return f"{file}: {', '.join(f'{label} {score:.6f}' for label, score in best)}"


def _reason(error: Exception) -> str:
    """One sentence; the system's errors without their number and the file's name, which stands before it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}; check the name."
    return str(error)
