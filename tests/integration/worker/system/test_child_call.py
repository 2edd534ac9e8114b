"""A function call in a child process: its results, its errors, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.support.waiting import until
from worker.errors import ModelError
from worker.system.child_call import call_in_child, call_in_child_blocking


def test_a_child_returns_raises_and_prints_nothing_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    """Results and errors travel; what the work prints goes to stderr; a process that dies is an error."""
    assert call_in_child_blocking(partial(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ModelError, match="never"):
        call_in_child_blocking(_fail)
    with pytest.raises(ModelError, match="killed, or crashed"):
        call_in_child_blocking(sys.exit)
    call_in_child_blocking(partial(print, "chatter"))
    assert capfd.readouterr().out == ""


def _fail() -> None:
    raise ModelError("never")


async def test_an_idle_call_has_only_the_time_that_no_other_process_wants() -> None:
    """The process has the policy for that, as have all that it starts."""
    assert await call_in_child(partial(os.sched_getscheduler, 0), when_idle=True) == os.SCHED_IDLE
    assert await call_in_child(partial(os.sched_getscheduler, 0)) == os.sched_getscheduler(0)


async def test_work_that_is_given_up_leaves_no_process(tmp_path: Path) -> None:
    """When the wait is cancelled, the child ends, and the process that the child waits for."""
    told = tmp_path / "pids"
    working = asyncio.create_task(call_in_child(partial(_work_for_ever, told, nested=True)))
    pids = await until(lambda: told.exists() and len(told.read_text().splitlines()) == 2 and told.read_text().split())
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    await until(lambda: not any(_runs(pid) for pid in pids))


def _work_for_ever(told: Path, *, nested: bool) -> None:
    with open(told, "a") as file:
        file.write(f"{os.getpid()}\n")
    if nested:
        call_in_child_blocking(partial(_work_for_ever, told, nested=False))
    signal.pause()


def _runs(pid: str) -> bool:
    """Whether the process is alive, and no zombie."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_call_that_hangs_or_is_stopped_is_ended() -> None:
    """A child that never replies is killed after a while, and its caller is told."""
    with pytest.raises(ModelError, match=r"longer than 2 s and was ended"):
        call_in_child_blocking(_stop, within_s=2)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
