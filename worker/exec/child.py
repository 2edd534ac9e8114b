"""A command that runs beneath us: started in a session of its own, signalled as a group, never left behind.

In its own session a Ctrl-C on the terminal reaches us alone, and we decide when the command hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Mapping, Sequence

from registry.runtime.parent_death import die_with_parent

POLL_S = 0.05


class Child:
    """A started command; standard input, output and error are ours."""

    def __init__(self, process: asyncio.subprocess.Process, command: Sequence[str]) -> None:
        self._process = process
        self.name = shlex.join(command)

    @classmethod
    async def start(cls, command: Sequence[str], *, environ: Mapping[str, str]) -> Child:
        """Start `command`. Raises OSError where it cannot be: not found, not executable.

        Should we be killed, the kernel kills it too (SIGKILL, for a server may take its time over any other).
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environ),
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        return cls(process, command)

    @property
    def pid(self) -> int:
        """Its process id, which is its group's and session's as well."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code as a shell gives it (128 + n for a death by signal n); None while it runs."""
        code = self._process.returncode
        return 128 - code if code is not None and code < 0 else code

    async def ended(self) -> None:
        """Return when it has ended."""
        await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def stop(self, number: signal.Signals, *, patience_s: float) -> int:
        """Ask the group to end with `number`, kill what is left of it after `patience_s`; the exit code."""
        self.send(number)
        try:
            async with asyncio.timeout(patience_s):
                await self.ended()
                while self._has_heirs():  # noqa: ASYNC110  no event tells of processes that are not ours
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.ended()
        assert self.code is not None
        return self.code

    def _has_heirs(self) -> bool:
        """Whether processes that the command started run on after it."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-self.pid, os.WNOHANG)  # process 1 of a container inherits the dead: they are no heirs
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):  # the latter on macOS, where only the dead are left
            return False
        return True
