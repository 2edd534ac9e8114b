"""Child processes: real ones, and what must hold when they end, fail or leave others behind."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from registry.runtime.processes.children import ChildProcess
from tests.support.waiting import until

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
PARENT = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); sys.stdin.read()"


async def start(program: str, lines: list[str]) -> ChildProcess:
    return await ChildProcess.start([sys.executable, "-c", program], name="child", write_line=lines.append)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_lines_carry_the_name() -> None:
    """What a child writes to standard output and error is passed on line by line, whole before its end is known."""
    lines: list[str] = []
    child = await start("import sys; print('a'); print('b', file=sys.stderr); raise SystemExit(3)", lines)
    assert await child.ended() == 3
    assert sorted(lines) == ["[child] a", "[child] b"]
    assert child.outcome == "child ended with code 3"


async def test_a_death_by_signal_is_named() -> None:
    """The exit code is 128 + n, as in a shell, and the outcome names the signal."""
    lines: list[str] = []
    child = await start(STUBBORN, lines)
    await until(lambda: lines)
    child.send(signal.SIGKILL)
    assert await child.ended() == 128 + signal.SIGKILL
    assert child.outcome == "child was ended by SIGKILL"


async def test_a_child_that_ignores_the_signal_is_killed() -> None:
    """After the patience nothing is left of it."""
    lines: list[str] = []
    child = await start(STUBBORN, lines)
    await until(lambda: lines)
    assert await child.stop(patience_s=0.2) == 128 + signal.SIGKILL
    assert not alive(child.pid)


async def test_what_the_child_started_ends_with_it() -> None:
    """A process that the child started and left behind keeps neither running nor the child's output open."""
    lines: list[str] = []
    child = await start(PARENT, lines)
    await child.ended()
    grandchild = int(lines[0].split()[1])
    assert alive(grandchild)
    await child.stop(patience_s=5)
    assert not alive(grandchild)


async def test_a_grandchild_that_keeps_the_output_does_not_hang_the_stop() -> None:
    """A grandchild in a session of its own is out of reach; it may hold the pipe, and stopping ends all the same."""
    lines: list[str] = []
    program = PARENT.replace("'600']", "'600'], start_new_session=True")
    child = await start(program, lines)
    await until(lambda: lines)
    await child.stop(patience_s=5)
    grandchild = int(lines[0].split()[1])
    assert alive(grandchild)
    os.kill(grandchild, signal.SIGKILL)


async def test_a_command_that_does_not_exist_is_an_error() -> None:
    """The caller learns at once that nothing was started."""
    with pytest.raises(FileNotFoundError):
        await ChildProcess.start(["/nonexistent/command"])
