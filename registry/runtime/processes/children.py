"""Child processes: started, signalled, awaited, and stopped together with everything that they started.

Each child leads a session and a process group of its own, so that a Ctrl-C on the terminal reaches the parent alone
and the parent decides the order of stopping. On Linux the kernel ends the child when the parent is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence

from registry.runtime.processes.parent_death import die_with_parent

POLL_S = 0.05
"""Between two looks whether the child's group is empty."""

OUTPUT_PATIENCE_S = 1.0
"""How long the output of a child that has ended is waited for: a process that it started may hold the pipe open."""

WriteLine = Callable[[str], None]


class ChildProcess:
    """A started command. `name` is how messages call it."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, output: _Output | None) -> None:
        self.name = name
        self._process = process
        self._output = output

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        name: str = "",
        environ: Mapping[str, str] | None = None,
        write_line: WriteLine | None = None,
        on_parent_death: signal.Signals = signal.SIGTERM,
    ) -> ChildProcess:
        """Start `command`. Raises OSError where that is impossible: not found, not executable.

        With `write_line` every line of the child's output goes there as `[name] line`, and its standard input is
        empty; without, the child shares our standard input, output and error. `environ` None means our environment.
        """
        name = name or shlex.join(command)
        output = None if write_line is None else await _Output.open(name, write_line)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=None if environ is None else dict(environ),
                stdin=None if output is None else asyncio.subprocess.DEVNULL,
                stdout=None if output is None else output.write_end,
                stderr=None if output is None else asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(on_parent_death),
            )
        except BaseException:
            if output is not None:
                await output.close()
            raise
        finally:
            if output is not None:
                os.close(output.write_end)
        return cls(process, name, output)

    @property
    def pid(self) -> int:
        """Its process id, which is the id of its group and session as well."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code as a shell gives it (128 + n for a death by signal n); None while it runs."""
        code = self._process.returncode
        return 128 - code if code is not None and code < 0 else code

    @property
    def outcome(self) -> str:
        """How it ended, as a clause: `NAME ended with code 1`, `NAME was ended by SIGKILL`."""
        code = self._process.returncode
        if code is not None and code < 0:
            return f"{self.name} was ended by {signal.Signals(-code).name}"
        return f"{self.name} ended with code {code}"

    async def ended(self) -> int:
        """Wait until it has ended and its output was passed on; the exit code."""
        await self._process.wait()
        if self._output is not None:
            await self._output.ended(timeout_s=OUTPUT_PATIENCE_S)
        assert self.exit_code is not None
        return self.exit_code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def stop(self, number: signal.Signals = signal.SIGTERM, *, patience_s: float) -> int:
        """Ask the group to end with `number`, kill what is left of it after `patience_s`; the exit code."""
        self.send(number)
        try:
            async with asyncio.timeout(patience_s):
                await self._process.wait()
                while self._has_descendants():  # noqa: ASYNC110  no event tells of processes that are not ours
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            self.send(signal.SIGKILL)
        code = await self.ended()
        if self._output is not None:
            await self._output.close()
        return code

    def _has_descendants(self) -> bool:
        """Whether processes of the group outlive the child itself."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-self.pid, os.WNOHANG)  # process 1 of a container inherits dead ones: they must be reaped
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):  # the latter on macOS, where only dead ones are left
            return False
        return True


class _Output:
    """The lines of a child's output, each passed on with a prefix.

    A pipe of our own: asyncio's `Process.wait` with one of its pipes returns only when that is closed, so that a
    grandchild which keeps it open would hide the child's end.
    """

    def __init__(self, write_end: int, transport: asyncio.ReadTransport, copying: asyncio.Task[None]) -> None:
        self.write_end = write_end
        self._transport = transport
        self._copying = copying

    @classmethod
    async def open(cls, name: str, write_line: WriteLine) -> _Output:
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
        read_end, write_end = os.pipe()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(read_end, "rb", buffering=0))
        copying = asyncio.create_task(_copy_lines(name, reader, write_line), name=f"output of {name}")
        return cls(write_end, transport, copying)

    async def ended(self, *, timeout_s: float) -> None:
        """Return when everything was passed on, or after `timeout_s`."""
        await asyncio.wait((self._copying,), timeout=timeout_s)

    async def close(self) -> None:
        """Stop reading."""
        self._transport.close()
        self._copying.cancel()
        await asyncio.gather(self._copying, return_exceptions=True)


async def _copy_lines(name: str, stream: asyncio.StreamReader, write_line: WriteLine) -> None:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # a line longer than the stream's limit: the rest of it follows
            continue
        if not line:
            return
        write_line(f"[{name}] {line.decode(errors='replace').rstrip()}")
