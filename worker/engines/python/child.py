"""The model's own process: loads a Python file, then predicts what the worker sends until the worker closes.

The worker's arrays lie in memory that both share. Arrays that the model has kept beyond its `predict` stay as they are:
the worker is told, and uses other memory from then on.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.runtime.processes.parent_death import die_with_parent
from worker.engines.python.messages import Frame, Placed, placed, receive, send, taken
from worker.engines.python.model_class import LoadedModel, load_class
from worker.errors import ModelError

KILL_FIRST = 500
"""Added to the process's badness, of at most 1,000 (proc(5), oom_score_adj): of the worker and its models, the kernel
kills a model first when memory is short."""

FOR_THE_WORKER = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that terminals and service managers send to all processes: the worker, which gets them too, decides when to
end."""


def serve(*, file: int, parent: int, path: str) -> None:
    """Answer the worker `parent` over the socket `file`; returns when it has closed the other end."""
    end_with_parent = die_with_parent(signal.SIGKILL, parent=parent)
    if end_with_parent is not None:
        end_with_parent()
    for number in FOR_THE_WORKER:
        signal.signal(number, lambda *_: None)
    with contextlib.suppress(OSError):  # not on Linux, or forbidden
        Path("/proc/self/oom_score_adj").write_text(str(KILL_FIRST), "ascii")
    with socket.socket(fileno=file) as connection, contextlib.suppress(ConnectionError):
        model = _loaded(connection, Path(path))
        if model is not None:
            _answer_all(connection, model)
    sys.stdout.flush()
    os._exit(0)  # threads that the model has started do not hold the end up


def _loaded(connection: socket.socket, path: Path) -> LoadedModel | None:
    """The model, after the worker has been told what it takes and gives, or why it cannot be loaded."""
    try:
        model = load_class(path)
        example = model.example()
        arrays = None if example is None else placed(example)
    except BaseException as error:  # SystemExit, too: a file that is a script
        if not isinstance(error, ModelError):
            traceback.print_exc()
        send(connection, {"error": str(error) if isinstance(error, ModelError) else _named(error)})
        return None
    says = model.says
    described = {"gives": says.gives, "labels": model.labels, "signature": asdict(says.signature)}
    send(
        connection, described | {"example": arrays.described if arrays else None}, _written([arrays] if arrays else [])
    )
    return model


def _answer_all(connection: socket.socket, model: LoadedModel) -> None:
    memory = np.empty(0, np.uint8)
    unused = sys.getrefcount(memory)
    while True:
        frame = receive(connection, with_file=True)
        if frame.files:
            memory = _shared(frame.files[0])
        header, payload = _answer(frame, memory, model)
        send(connection, header | {"kept": sys.getrefcount(memory) > unused}, payload)


def _answer(
    frame: Frame, memory: NDArray[np.uint8], model: LoadedModel
) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
    """The header of the answer, and the outputs; None after an error, whose traceback goes to the worker's log."""
    try:
        parts = model.predict(taken(frame.header["arrays"], memory))
        outputs = [placed(part) for part in parts]
        described = [part.described for part in outputs]
        return {"parts": described, "sizes": [part.size for part in outputs]}, _written(outputs)
    except Exception as error:
        traceback.print_exc()
        return {"error": str(error) if isinstance(error, ModelError) else _named(error)}, None


def _written(outputs: Sequence[Placed]) -> NDArray[np.uint8]:
    """The parts one after the other, as copies: an output may be a view of an input."""
    payload = np.empty(sum(part.size for part in outputs), np.uint8)
    at = 0
    for part in outputs:
        part.write(payload[at : at + part.size])
        at += part.size
    return payload


def _shared(file: int) -> NDArray[np.uint8]:
    """The memory behind a file descriptor, which is closed."""
    try:
        return np.frombuffer(mmap.mmap(file, 0), np.uint8)
    finally:
        os.close(file)


def _named(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + lines[0] if lines else ''}"
