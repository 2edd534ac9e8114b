"""A function call that runs in a child process, so that all that it loads is gone when it returns.

Exporting a model, comparing engines and trial loads need TensorFlow: seconds to import, half a gigabyte of memory,
and its threads. A worker that serves meanwhile, or later with another engine, is not affected. A call that crashes,
fills the memory or hangs ends the child and not the worker.

The pickled call goes to the child's standard input, its outcome returns on the child's standard output. The child ends
with its caller: it is killed when the wait is cancelled, and by the kernel when its parent dies.
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

from registry.runtime.processes.parent_death import die_with_parent
from worker.errors import ModelError
from worker.system.scheduling import use_idle_scheduling

NICENESS = 5
"""How much nicer the child is than this process, whose requests go first."""

_LENGTH_BYTES = 8

T = TypeVar("T")


WITHIN_S = 600.0
"""How long a blocking call may take: its caller may hold a lock that other processes wait for."""


def call_in_child_blocking(work: Callable[[], T], *, within_s: float = WITHIN_S) -> T:
    """`call_in_child` for a thread without an event loop; ModelError if it takes longer than `within_s`."""

    async def limited() -> T:
        try:
            async with asyncio.timeout(within_s) as limit:
                return await call_in_child(work)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ModelError(
                f"The process that prepares the model took longer than {within_s:g} s and was ended: it hangs or was "
                "stopped."
            ) from None

    return asyncio.run(limited())


async def call_in_child(work: Callable[[], T], *, when_idle: bool = False) -> T:
    """Return what `work` returns, or raise what it raises, in a new process; all of it must be picklable.

    The child is a little nicer than this process; with `when_idle` it has only the processor time that no other
    process wants. It is no multiprocessing child: that would run the program's main module again, which need not be
    ready for it. It has its own session, so a Ctrl-C reaches only this process, which decides what to do. Processes
    that the child has started are killed with it. Raises ModelError if the child dies.
    """
    program = f"""
import sys
sys.path[:] = {sys.path!r}
from worker.system.child_call import serve_call
serve_call(when_idle={when_idle}, parent={os.getpid()})
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
            os.killpg(child.pid, signal.SIGKILL)  # its reply is here, or its caller has left
        await child.wait()
    result, error = pickle.loads(reply)
    if error is not None:
        raise error
    return cast("T", result)


async def _exchange(child: asyncio.subprocess.Process, request: bytes) -> bytes:
    """Send the request, keep the pipe open as a sign of life, and read the reply.

    The reply starts with its length: a process that a library forked in the child may hold the pipe open for longer.
    """
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(ConnectionError):  # the child has ended; its missing reply says so
        child.stdin.write(request)
        await child.stdin.drain()
    length = await child.stdout.readexactly(_LENGTH_BYTES)
    return await child.stdout.readexactly(int.from_bytes(length))


def serve_call(*, when_idle: bool, parent: int) -> None:
    """The child's side of `call_in_child`: run the call that standard input holds, and reply on standard output."""
    end_with_parent = die_with_parent(signal.SIGKILL, parent=parent)
    if end_with_parent is not None:  # also where the call hangs while it holds Python's lock
        end_with_parent()
    os.nice(NICENESS)
    if when_idle:
        use_idle_scheduling()
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the call prints is not its reply
    work = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_pipe, name="end-with-pipe", daemon=True).start()
    reply = pickle.dumps(_outcome(work))
    sys.stdout.flush()
    answer.write(len(reply).to_bytes(_LENGTH_BYTES) + reply)
    answer.flush()
    signal.pause()  # the caller kills it now; an orderly end takes a framework long


def _outcome(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # another library's error that cannot be pickled
            return None, ModelError(str(error))
        return None, error


def _end_with_pipe() -> None:
    """End when the caller has closed the pipe, if the kernel does not tell (see runtime/processes/parent_death)."""
    os.read(0, 1)  # without Python's lock on the file, which a process that is forked here would inherit
    os._exit(1)
