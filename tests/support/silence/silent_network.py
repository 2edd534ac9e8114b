"""A network in which commands reach each other on loopback addresses, and in which every other packet is noted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from registry.runtime.processes.parent_death import die_with_parent
from tests.support.command_process import P2P, Command, command
from tests.support.python_program import ROOT

_UNSHARE = ("unshare", "--map-root-user", "--net", "--mount")
_PATIENCE_S = 20.0


class SilentNetwork:
    """The namespaces of a running packet trap, and what it has caught."""

    def __init__(self, pid: int) -> None:
        self.packets: list[str] = []
        self._enter = ("nsenter", f"--target={pid}", "--user", "--net", "--mount", "--preserve-credentials", "--wd=.")

    def p2p(self, *arguments: str, environ: Mapping[str, str]) -> AbstractAsyncContextManager[Command]:
        """`p2p ARGUMENTS` in these namespaces."""
        return command(*arguments, environ=environ, p2p=(*self._enter, *P2P))

    def run(self, *arguments: str) -> AbstractAsyncContextManager[Command]:
        """Any other program in these namespaces."""
        return command(*arguments, p2p=self._enter)


def why_not() -> str:
    """Why no silent network can be made here; "" where one can."""
    try:
        probe = [*_UNSHARE, "ip", "link", "add", "out", "type", "veth", "peer", "name", "trap"]
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return f"{error.filename} is not installed"
    return done.stderr.strip() if done.returncode else ""


@asynccontextmanager
async def silent_network() -> AsyncIterator[SilentNetwork]:
    """Namespaces with a packet trap, which end with the block."""
    trap = await asyncio.create_subprocess_exec(
        *_UNSHARE,
        *(sys.executable, "-m", "tests.support.silence.packet_trap"),
        cwd=ROOT,
        env=dict(os.environ),
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )
    assert trap.stdout is not None
    network = SilentNetwork(trap.pid)
    try:
        first = await asyncio.wait_for(trap.stdout.readline(), _PATIENCE_S)
        assert first == b"ready\n", first
        reading = asyncio.create_task(_read(trap.stdout, network.packets))
        yield network
        reading.cancel()
    finally:
        trap.kill()
        await trap.wait()


async def _read(lines: asyncio.StreamReader, packets: list[str]) -> None:
    while line := await lines.readline():
        packets.append(line.decode().rstrip())
