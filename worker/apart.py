"""A heavy, rare piece of work -> done in a process of its own, so that what it loads is gone when it is done.

Exporting and choosing need TensorFlow: seconds to import, half a gigabyte of memory, and its threads. A worker
that serves meanwhile, or afterwards with another engine, should notice none of it.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from worker.errors import ModelError

_GENTLY = 5
"""How much nicer the process is than this one: what is served meanwhile goes first."""

P = ParamSpec("P")
T = TypeVar("T")


def in_child(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, or raises, in a new process; blocks until then. All of it must be picklable.

    Not multiprocessing: that would run the program's main module again, which need not be ready for it.
    The process ends with this one, and ignores Ctrl-C, which is for this one to act on. Raises ModelError if it
    dies of itself.
    """
    code = f"import sys; sys.path[:] = {sys.path!r}; from worker.apart import work_as_child; work_as_child()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            reply = _exchange(child, pickle.dumps((work, args, kwargs)))
        finally:
            child.kill()  # it has said all that it had to say, or nobody waits for it any more
    if not reply:
        raise ModelError("The process that prepares the model was killed, or crashed: is there memory enough for it?")
    result, error = pickle.loads(reply)
    if error is not None:
        raise error
    return cast("T", result)


def _exchange(child: subprocess.Popen[bytes], request: bytes) -> bytes:
    """Send the request, keep the pipe open as a sign of life, and read all of the reply."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(request)
        child.stdin.flush()
    except BrokenPipeError:
        return b""
    return child.stdout.read()


def work_as_child() -> None:
    """The other side of `in_child`: do what standard input says, and answer on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_GENTLY)
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever prints is not the answer
        work, args, kwargs = pickle.load(sys.stdin.buffer)
        threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
        answers.write(pickle.dumps(_outcome(work, args, kwargs)))


def _outcome(work: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, Exception | None]:
    try:
        return work(*args, **kwargs), None
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # of another library, and of a kind that cannot travel
            return None, ModelError(str(error))
        return None, error


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
