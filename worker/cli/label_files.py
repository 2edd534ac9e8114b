"""Names of files and folders -> labels, without a server: a line per file, as soon as its labels are known.

names -> a thread that reads them -> threads that decode -> batches of what has come meanwhile -> lines, in the order of
the names. A name that comes alone is a batch of its own, at once; names that come fast fill batches.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from worker.cli.label_formats import CSV_HEADER, Format, error_line, labels_lines
from worker.cli.printing import write_line
from worker.errors import WorkerError
from worker.images.folder import IMAGE_SUFFIXES, files_below
from worker.inference.model import Model
from worker.system.cpu import usable_cores

BATCH = 8
"""Images that are predicted together: on processors more bring nothing."""

_AHEAD = 2 * BATCH  # images that are decoded while others are predicted

_Decoded = NDArray[np.uint8] | OSError | ValueError | WorkerError


def label_files(names: Iterable[str], *, model: Model, top: int, form: Format, out: TextIO, err: TextIO) -> int:
    """Label the files that `names` gives; empty names are passed over.

    The name of a folder means the files in it and below it whose names end as those of images do; a line on `err` says
    how many others there are.

    A line of `out` is `cat.jpg: tabby 0.612345, tiger cat 0.301234`, or as `form` says (see `label_formats`), with the
    `top` best labels. A file that cannot be labelled gets a line on `err` and stops nothing. Returns the exit code: 1
    if any failed, else 0.
    """
    if form == "csv":
        write_line(CSV_HEADER, out)
    run = _Run(model, top, form, out, err)
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode") as threads:
        files = _Ahead(_files(names, err))
        waiting: deque[tuple[str, Future[_Decoded]]] = deque()
        while True:
            while len(waiting) < _AHEAD and (file := files.next(wait=not waiting)) is not None:
                waiting.append((file, threads.submit(run.decode, file)))
            if not waiting:
                return run.code
            size = BATCH if model.engine.input.size is not None else 1  # images of other sizes make no batch
            run.label([waiting.popleft() for _ in range(min(size, len(waiting)))])


class _Run:
    """Decodes, predicts and writes."""

    def __init__(self, model: Model, top: int, form: Format, out: TextIO, err: TextIO) -> None:
        self._model = model
        self._top = top
        self._form: Format = form
        self._out = out
        self._err = err
        self.code = 0

    def decode(self, file: str) -> _Decoded:
        """The image in a file, or why there is none."""
        try:
            return self._model.decode(Path(file).read_bytes())
        except (OSError, ValueError, WorkerError) as error:  # ValueError: a name with a null byte
            return error

    def label(self, batch: list[tuple[str, Future[_Decoded]]]) -> None:
        """Write the lines of a batch, in its order."""
        decoded = [(file, future.result()) for file, future in batch]
        scores = self._scores([image for _, image in decoded if not isinstance(image, Exception)])
        for file, image in decoded:
            row = image if isinstance(image, Exception) else next(scores)
            if isinstance(row, Exception):
                self._failed(file, row)
                continue
            try:
                lines = labels_lines(file, self._model.top(row, self._top), self._form)
            except WorkerError as error:
                self._failed(file, error)
                continue
            for line in lines:
                write_line(line, self._out)

    def _scores(self, images: list[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32] | WorkerError]:
        """The scores of each image; where a batch fails, each image is predicted alone."""
        try:
            yield from self._model.predict(images) if images else ()
        except WorkerError as error:
            if len(images) == 1:
                yield error
                return
            for image in images:
                yield from self._scores([image])

    def _failed(self, file: str, error: Exception) -> None:
        self.code = 1
        write_line(f"{file}: {_reason(error)}", self._err)
        line = error_line(file, _reason(error), self._form)
        if line is not None:
            write_line(line, self._out)


class _Ahead:
    """Reads names in a thread, so that it is known whether the next one is there already."""

    def __init__(self, names: Iterator[str]) -> None:
        self._read: queue.Queue[str | BaseException | None] = queue.Queue(_AHEAD)
        self._ended = False
        threading.Thread(target=self._fill, args=(names,), name="read-names", daemon=True).start()

    def next(self, *, wait: bool) -> str | None:
        """The next name; None at the end, and without `wait` if none has come yet. Raises what reading raised."""
        if self._ended:
            return None
        try:
            name = self._read.get(block=wait)
        except queue.Empty:
            return None
        if isinstance(name, BaseException):
            raise name
        self._ended = name is None
        return name

    def _fill(self, names: Iterator[str]) -> None:
        try:
            for name in names:
                self._read.put(name)
            self._read.put(None)
        except BaseException as error:  # the caller's thread raises it
            self._read.put(error)


def _files(names: Iterable[str], err: TextIO) -> Iterator[str]:
    for name in names:
        file = name.rstrip("\r\n")
        if file and _is_folder(file):
            yield from _images_below(Path(file), err)
        elif file:
            yield file


def _is_folder(file: str) -> bool:
    try:
        return Path(file).is_dir()
    except (OSError, ValueError):  # a name that is too long, or a folder above it that must not be read
        return False


def _images_below(folder: Path, err: TextIO) -> Iterator[str]:
    """The images in a folder and below it; a line on `err` says what is left out."""
    files = files_below(folder, left_out=lambda path, reason: write_line(f"{path} is left out: {reason}.", err))
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    others = len(files) - len(images)
    if others or not images:
        words = f"{others} file{'s' * (others != 1)} left out, whose names do not end as those of images do"
        write_line(f"{folder}: {len(images)} image{'s' * (len(images) != 1)}; {words}.", err)
    yield from map(str, images)


def _reason(error: Exception) -> str:
    """One sentence; the system's errors without their number and the file's name, which stands before it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}; check the name."
    return str(error)
