"""One life of a Python model's process, seen from the worker: started, loaded, asked for predictions, ended."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from worker.engines.python.annotations import Gives
from worker.engines.python.messages import Frame, placed, receive, send, send_file, taken
from worker.engines.python.shared_memory import SharedMemory
from worker.engines.tensors import Signature, Tensors, TensorSpec
from worker.errors import ModelError

logger = logging.getLogger(__name__)

LOAD_WITHIN_S = 600.0
"""How long importing the file and `load()` may take; a trial load has its own limit, --load-timeout."""

PREDICT_WITHIN_S = 25.0
"""After this time a batch counts as hanging, and the process is ended; less than the time after which the worker itself
counts as hanging (`worker.batching.runner.STUCK_AFTER_S`), because only the process need be started again."""

END_WITHIN_S = 2.0
"""How long a process may take to end by itself."""

_LINE_BYTES = 4096


class ProcessEnded(Exception):
    """The process has ended, or was ended because it hung or did not answer as agreed; the text says which."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a loaded model says of itself."""

    gives: Gives
    signature: Signature
    labels: tuple[str, ...] | None
    example: Tensors | None


class ChildProcess:
    """A process that runs the model in `code`, from now until `end`; what it prints goes to the log.

    It ends when the thread that made it ends: on Linux the kernel sees to that, even if the worker is killed.
    """

    def __init__(self, code: Path, *, name: str) -> None:
        self._connection, other = socket.socketpair()
        with other:
            self._child = subprocess.Popen(
                [sys.executable, "-u", "-c", _program(code, file=other.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[other.fileno()],
                start_new_session=True,  # a Ctrl-C is for the worker, which decides what to do
            )
        assert self._child.stdout is not None
        self._log = threading.Thread(
            target=_log_lines, args=(self._child.stdout, name), name=f"log {name}", daemon=True
        )
        self._log.start()
        self._shared: SharedMemory | None = None
        self._ending = threading.Lock()
        self._ended = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def described(self) -> Described:
        """Wait until the model is loaded, and return what it is. Raises ModelError, ProcessEnded."""
        frame = self._received(LOAD_WITHIN_S, "loading it")
        if "error" in frame.header:
            raise ModelError(str(frame.header["error"]))
        try:
            return _described(frame)
        except (LookupError, TypeError, ValueError) as error:
            raise self._unusable(error) from error

    def predict(self, arrays: Mapping[str, NDArray[Any]]) -> list[Tensors]:
        """The model's outputs, in one or several parts. Raises ModelError where it fails, ProcessEnded."""
        request = placed(arrays)
        try:
            if self._shared is None or self._shared.size < request.size:
                self._share(request.size)
            assert self._shared is not None
            request.write(self._shared.memory)
            send(self._connection, {"arrays": request.described})
        except OSError as error:
            raise ProcessEnded("its process has ended") from error
        frame = self._received(PREDICT_WITHIN_S, "a prediction")
        if frame.header.get("kept"):
            self._shared = None  # the model has kept views of this memory, which may not change any more
        if "error" in frame.header:
            raise ModelError(str(frame.header["error"]))
        try:
            return _parts(frame)
        except (LookupError, TypeError, ValueError, ModelError) as error:
            raise self._unusable(error) from error

    def wait(self) -> str:
        """Wait for its end, and say how it ended, for a sentence."""
        code = self._child.wait()
        return f" by signal {signal.Signals(-code).name}" if code < 0 else f" with exit code {code}"

    def kill(self) -> None:
        """End it, and what it has started, at once. From any thread."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def end(self) -> None:
        """Let it end by itself, else kill it, and give back what belongs to it; once. From any thread."""
        with self._ending:
            if self._ended:
                return
            self._ended = True
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(END_WITHIN_S)
            self.kill()  # also what it has started and left behind
            self._child.wait()
            self._connection.close()
            self._log.join(END_WITHIN_S)

    def _share(self, size: int) -> None:
        """Hand new memory of at least `size` bytes to the process. Raises OSError."""
        shared = SharedMemory(size)
        try:
            send_file(self._connection, shared.file)
        finally:
            shared.handed_over()
        self._shared = shared

    def _received(self, within_s: float, what: str) -> Frame:
        try:
            self._connection.settimeout(within_s)  # an error once `end` has closed it
            return receive(self._connection)
        except TimeoutError as error:
            self.kill()
            raise ProcessEnded(f"{what} took longer than {within_s:g} s, so that its process was ended") from error
        except OSError as error:
            raise ProcessEnded("its process has ended") from error
        except ValueError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> ProcessEnded:
        self.kill()
        return ProcessEnded(f"its process gave an answer that cannot be read ({error}), so that it was ended")


def _program(code: Path, *, file: int) -> str:
    return f"""
import sys
sys.path[:] = {sys.path!r}
from worker.engines.python.child import serve
serve(file={file}, parent={os.getpid()}, path={str(code.resolve())!r})
"""


def _described(frame: Frame) -> Described:
    head = frame.header
    labels = head["labels"]
    example = None if head["example"] is None else Tensors(taken(head["example"], frame.payload))
    said = head["signature"]
    signature = Signature(_specs(said["inputs"]), _specs(said["outputs"]), images=bool(said["images"]))
    return Described(head["gives"], signature, None if labels is None else tuple(labels), example)


def _specs(described: Sequence[Mapping[str, Any]] | None) -> tuple[TensorSpec, ...] | None:
    if described is None:
        return None
    return tuple(
        TensorSpec(
            each["name"], each["datatype"], None if each["shape"] is None else tuple(each["shape"]), each["text"]
        )
        for each in described
    )


def _parts(frame: Frame) -> list[Tensors]:
    parts, at = [], 0
    for described, size in zip(frame.header["parts"], frame.header["sizes"], strict=True):
        parts.append(Tensors(taken(described, frame.payload[at : at + size])))
        at += size
    return parts


def _log_lines(output: IO[bytes], name: str) -> None:
    """In a thread: log what the process prints, line by line, until it ends."""
    with output:
        while line := output.readline(_LINE_BYTES):
            logger.info("%s: %s", name, line.decode("utf-8", "replace").rstrip())
