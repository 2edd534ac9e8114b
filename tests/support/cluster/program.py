"""A program on one of the cluster's hosts: started, stopped, killed, frozen, and read."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from registry.runtime.processes.parent_death import die_with_parent
from tests.support.cluster.network import Host
from tests.support.waiting import until

STOP_S = 20.0


class Program:
    """A child process; what it writes is kept in `log`. It dies with the process that started it."""

    def __init__(
        self, host: Host, command: Sequence[str | Path], *, log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.host = host
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("P2P_", "CONSUL_"))}
        self._log = log
        self._from = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            # `ip netns exec` replaces itself by the command: the process is the program's own.
            self._process = subprocess.Popen(
                [*host.prefix, *command],
                env=inherited | dict(environ or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )

    @property
    def output(self) -> str:
        """What it has written since this start."""
        return self._log.read_bytes()[self._from :].decode(errors="replace")

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Signal it."""
        self._process.send_signal(number)

    async def ended(self, *, within_s: float = STOP_S) -> int:
        """Wait for its end; its exit code."""
        await until(lambda: self.code is not None, within_s=within_s)
        assert self.code is not None
        return self.code

    async def stop(self) -> int:
        """SIGTERM, and wait for its end; its exit code."""
        self.send(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """kill -9; returns when it is gone."""
        self.send(signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)

    async def says(self, text: str, *, within_s: float = 30.0) -> None:
        """Wait until it has written `text`; AssertionError with all that it wrote where it ended before."""

        def said() -> bool:
            if text in self.output:
                return True
            assert self.code is None, self.output
            return False

        await until(said, within_s=within_s)
