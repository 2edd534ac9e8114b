"""A Python model's process, kept alive: when it ends, it is started again, after pauses that grow with the failures.

While there is none, predictions are refused as busy, so that clients ask another worker.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from registry.runtime.tasks.backoff import backoff_s
from registry.runtime.tasks.supervise import HEALTHY_S
from worker.engines.python.process import ChildProcess, Described, ProcessEnded
from worker.engines.tensors import Tensors
from worker.errors import Busy, ModelError

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 1.0
"""When a client may ask again: a process that ended for the first time is back by then, if it loads quickly."""


class ModelProcess:
    """Runs the model in the file `code` until `close`; sentences and the log call it `name`.

    Blocks until the model is loaded. Raises ModelError, with the cause and the cure, where that fails.
    """

    def __init__(self, code: Path, *, name: str) -> None:
        self._code = code
        self._name = name
        self._child: ChildProcess | None = None  # the one that has loaded the model
        self._starting: ChildProcess | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self._first: Future[Described] = Future()
        self.starts = 0
        self._thread = threading.Thread(target=self._keep, name=f"keep {name}", daemon=True)
        self._thread.start()
        try:
            self.described = self._first.result()
        except BaseException:
            self.close()
            raise

    @property
    def trouble(self) -> str | None:
        """Why nothing can be predicted at the moment, as a sentence; None if it can. From any thread."""
        return self._trouble

    @property
    def pid(self) -> int | None:
        """The process's id; None while there is none."""
        child = self._child
        return None if child is None else child.pid

    def predict(self, arrays: Mapping[str, NDArray[Any]]) -> list[Tensors]:
        """The outputs of the rows. Raises ModelError where the model fails, Busy where its process ends."""
        child = self._child
        if child is None:
            raise Busy(self._trouble or self._away("it is loaded"), retry_after_s=RETRY_AFTER_S)
        try:
            return child.predict(arrays)
        except ProcessEnded as ended:
            sentence = self._away(str(ended))
            with self._lock:  # another process may have loaded the model meanwhile
                if self._child is child:
                    self._trouble = sentence
            raise Busy(sentence, retry_after_s=RETRY_AFTER_S) from ended

    def close(self) -> None:
        """End the process, however busy it is, and give its memory back."""
        self._closing.set()
        with self._lock:  # else one that starts at this moment would be missed
            if self._starting is not None:
                self._starting.kill()
            if self._child is not None:
                self._child.end()
        self._thread.join()

    def _keep(self) -> None:
        """In a thread: start the process, again and again until `close`."""
        failures, chance = 0, random.Random()
        while not self._closing.is_set():
            started_s = time.monotonic()
            try:
                self._live()
            except Exception as error:
                if not self._first.done():
                    self._first.set_exception(ModelError(f"{self._code} cannot be served: {_sentence(error)}."))
                    return
                if self._closing.is_set():
                    return
                failures = 0 if time.monotonic() - started_s >= HEALTHY_S else failures
                pause_s = backoff_s(failures, chance)
                failures += 1
                self._trouble = self._away(_sentence(error))
                logger.error("The model %s: %s. It starts again in %.1f s.", self._name, _sentence(error), pause_s)
                self._closing.wait(pause_s)

    def _live(self) -> None:
        """One process from its start to its end. Raises ProcessEnded at its end, ModelError where loading fails."""
        child = self._started()
        try:
            described = child.described()
            if self._first.done() and _differs(described, self._first.result()):
                raise ModelError(
                    "its file takes or gives other things now: start the worker again, or make a new version"
                )
            with self._lock:
                self._starting, self._child, self._trouble = None, child, None
            self.starts += 1
            if not self._first.done():
                self._first.set_result(described)
            raise ProcessEnded(f"its process has ended{child.wait()}")
        finally:
            with self._lock:
                self._starting = self._child = None
                self._trouble = self._trouble or self._away("its process has ended")
            child.end()

    def _away(self, why: str) -> str:
        """The sentence for requests that come while there is no process."""
        return f"The model {self._name} is started again: {why}."

    def _started(self) -> ChildProcess:
        with self._lock:
            if self._closing.is_set():
                raise ProcessEnded("the model is being closed")
            self._starting = ChildProcess(self._code, name=self._name)
            return self._starting


def _sentence(error: Exception) -> str:
    return str(error).removesuffix(".") or type(error).__name__


def _differs(one: Described, other: Described) -> bool:
    return (one.gives, one.signature, one.labels) != (other.gives, other.signature, other.labels)
