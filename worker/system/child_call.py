"""A heavy, rare piece of work -> done in a process of its own, so that what it loads is gone when it is done.

Exporting, choosing and trying need TensorFlow: seconds to import, half a gigabyte of memory, and its threads. A
worker that serves meanwhile, or afterwards with another engine, should notice none of it. A piece of work that
crashes, fills the memory or hangs ends that process and not the worker.

The work goes to the child's standard input, pickled, what became of it comes back on its standard output. The child
ends with whoever waits for it: killed when the waiting is cancelled, by the kernel where its parent is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from registry.runtime.parent_death import die_with_parent
from worker.errors import ModelError
from worker.system.process import run_when_idle

GENTLY = 5
"""How much nicer the process is than this one: what is served meanwhile goes first."""

_LENGTH_BYTES = 8

T = TypeVar("T")


def in_child(work: Callable[[], T]) -> T:
    """As `apart`, for a thread without an event loop; blocks until the work is done."""
    return asyncio.run(apart(work))


async def apart(work: Callable[[], T], *, beside_callers: bool = False) -> T:
    """What `work` returns, or raises, in a new process; all of it must be picklable.

    It is a little nicer than this one, or, `beside_callers` who wait for answers, has only the time that nobody wants.
    Not multiprocessing: that would run the program's main module again, which need not be ready for it.
    In its own session a Ctrl-C does not reach it: that is for this process to act on. Whatever it has started goes
    with it. Raises ModelError if it dies of itself.
    """
    program = f"""
import sys
sys.path[:] = {sys.path!r}
from worker.system.child_call import work_as_child
work_as_child(beside_callers={beside_callers}, parent={os.getpid()})
"""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        reply = await _exchange(child, pickle.dumps(work))
    except asyncio.IncompleteReadError:
        raise ModelError(
            f"The process that prepares the model was killed, or crashed: it ended with {await child.wait()} (a "
            "negative number is a signal). Is there memory enough for it? Its last lines are in this log."
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # nobody waits for it any more
        await child.wait()
    result, error = pickle.loads(reply)
    if error is not None:
        raise error
    return cast("T", result)


async def _exchange(child: asyncio.subprocess.Process, request: bytes) -> bytes:
    """Send the request, keep the pipe open as a sign of life, and read the reply.

    Its length goes before it: a process that a library forked there may hold the pipe open for longer.
    """
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(ConnectionError):  # it has ended already; its silence says so
        child.stdin.write(request)
        await child.stdin.drain()
    length = await child.stdout.readexactly(_LENGTH_BYTES)
    return await child.stdout.readexactly(int.from_bytes(length))


def work_as_child(*, beside_callers: bool, parent: int) -> None:
    """The other side of `apart`: do what standard input says, and answer on standard output."""
    end_with_parent = die_with_parent(signal.SIGKILL, parent=parent)
    if end_with_parent is not None:  # also where the work hangs with Python's lock in its hand
        end_with_parent()
    os.nice(GENTLY)
    if beside_callers:
        run_when_idle()
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints is not the answer
    work = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_pipe, name="end-with-pipe", daemon=True).start()
    reply = pickle.dumps(_outcome(work))
    sys.stdout.flush()
    answer.write(len(reply).to_bytes(_LENGTH_BYTES) + reply)
    answer.flush()
    signal.pause()  # it is killed now; to end in order takes a framework long


def _outcome(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # of another library, and of a kind that cannot travel
            return None, ModelError(str(error))
        return None, error


def _end_with_pipe() -> None:
    """End when whoever waits has closed the pipe: where the kernel does not tell (registry/orphans.py)."""
    os.read(0, 1)  # without Python's lock on the file, which a process that is forked here would inherit
    os._exit(1)
