"""Names of files and folders -> labels, without a server: one line per file, as soon as its labels are known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from worker.cli.printing import write_line
from worker.errors import WorkerError
from worker.images.folder import IMAGE_SUFFIXES, files_below
from worker.inference.model import Model


def label_files(names: Iterable[str], *, model: Model, top: int, as_json: bool, out: TextIO, err: TextIO) -> int:
    """Label the files that `names` gives, each before the next name is asked for; empty names are passed over.

    The name of a folder means the files in it and below it whose names end as those of images do; a line on `err` says
    how many others there are.

    A line of `out` is `cat.jpg: tabby 0.612345, tiger cat 0.301234`, or with `as_json`
    `{"file": "cat.jpg", "labels": [["tabby", 0.612345], ...]}`, with the `top` best labels. A file that cannot
    be labelled gets a line on `err` and stops nothing. Returns the exit code: 1 if any failed, else 0.
    """
    code = 0
    for file in _files(names, err):
        try:
            best = _best(Path(file), model, top)
        except (OSError, ValueError, WorkerError) as error:  # ValueError: a name with a null byte
            write_line(f"{file}: {_reason(error)}", err)
            code = 1
            continue
        write_line(_line(file, best, as_json=as_json), out)
    return code


def _files(names: Iterable[str], err: TextIO) -> Iterator[str]:
    for name in names:
        file = name.rstrip("\r\n")
        if file and Path(file).is_dir():
            yield from _images_below(Path(file), err)
        elif file:
            yield file


def _images_below(folder: Path, err: TextIO) -> Iterator[str]:
    """The images in a folder and below it; a line on `err` says what is left out."""
    files = files_below(folder, left_out=lambda path, reason: write_line(f"{path} is left out: {reason}.", err))
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    others = len(files) - len(images)
    if others or not images:
        words = f"{others} file{'s' * (others != 1)} left out, whose names do not end as those of images do"
        write_line(f"{folder}: {len(images)} image{'s' * (len(images) != 1)}; {words}.", err)
    yield from map(str, images)


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
