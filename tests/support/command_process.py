"""Runs our commands as child processes of tests, and kills those that still run at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from registry.runtime.processes.parent_death import die_with_parent

P2P = (sys.executable, "-m", "p2pclient")
"""The `p2p` of the environment that runs the tests."""


@dataclass
class Command:
    """A running command and the lines that it has written so far."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, *, within_s: float = 30) -> int:
        """Wait for its end; its exit code."""
        return await asyncio.wait_for(self.process.wait(), within_s)


@asynccontextmanager
async def command(
    *arguments: str, environ: Mapping[str, str] | None = None, p2p: Sequence[str] = P2P
) -> AsyncIterator[Command]:
    """`p2p ARGUMENTS` in a session of its own; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *p2p,
        *arguments,
        env={k: v for k, v in os.environ.items() if not k.startswith(("P2P_", "CONSUL_"))} | dict(environ or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )
    running = Command(process)
    reading = asyncio.create_task(_read(running))
    try:
        yield running
    finally:
        if running.running:
            process.kill()
        await process.wait()
        # A grandchild that lives on may hold the pipe open.
        await asyncio.wait((reading,), timeout=5)
        reading.cancel()


async def _read(command: Command) -> None:
    assert command.process.stdout is not None
    async for line in command.process.stdout:
        command.lines.append(line.decode(errors="replace").rstrip())


def free_port() -> int:
    """A port that was free a moment ago, for commands that must be told one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_of(pid: int) -> list[int]:
    """The process ids of a process's living children."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]
