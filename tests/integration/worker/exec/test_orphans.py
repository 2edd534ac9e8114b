"""What a server of `p2p exec` has started and let go: it ends with the server, and leaves no dead processes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.command_process import Command, children_of, command
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until

SERVER = f"exec {sys.executable} -m http.server $PORT"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt others")


def alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


async def serving(running: Command) -> None:
    await until(lambda: "Serving on" in running.output, within_s=20)


@linux_only
@pytest.mark.parametrize("daemon", ["setsid sleep 600", "trap '' TERM; setsid sh -c 'sleep 600; true'"])
async def test_daemons_end_with_the_server(shared_consul: ConsulProcess, tmp_path: Path, daemon: str) -> None:
    """A process that left the server's group, and whose parent has ended, is named in the log, and ended."""
    note = tmp_path / "daemon"
    script = f"({daemon} & echo $! > {note}); {SERVER}"
    flags = ("--service", "daemonic", "--drain", "0", "--consul", shared_consul.url)
    async with command("exec", *flags, "--", "sh", "-c", script) as running:
        await serving(running)
        pid = int(note.read_text())
        assert alive(pid)
        running.send(signal.SIGTERM)
        await running.ended()
        assert not alive(pid)
    assert f"The server leaves processes behind, which end now: {pid}" in running.output


@linux_only
async def test_adopted_processes_that_end_are_waited_for(shared_consul: ConsulProcess, tmp_path: Path) -> None:
    """While the server runs, `p2p exec` has no other child for long: what it adopts leaves the process table."""
    script = f"(setsid sleep 0.1 &); {SERVER}"
    flags = ("--service", "daemonic", "--drain", "0", "--consul", shared_consul.url)
    async with command("exec", *flags, "--", "sh", "-c", script) as running:
        await serving(running)
        await until(lambda: len(children_of(running.pid)) == 1, within_s=20)
