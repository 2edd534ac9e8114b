"""Child processes that never outlive their parent: started, watched, stopped in order.

Each child has a session of its own, so that a Ctrl-C on the terminal reaches the parent alone and the parent
decides the order of stopping; and the kernel ends the child should the parent be killed.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from registry.runtime.parent_death import die_with_parent

Say = Callable[[str], None]


@dataclass(slots=True)
class Child:
    """A running child: `name` stands before each line that it writes."""

    name: str
    process: asyncio.subprocess.Process
    _lines: asyncio.Task[None]

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    async def ended(self) -> str:
        """Wait for the end; how it ended, in words."""
        code = await self.process.wait()
        await self._lines
        if code < 0:
            return f"{self.name} was ended by {signal.Signals(-code).name}"
        return f"{self.name} ended with code {code}"

    async def stop(self, *, patience_s: float) -> None:
        """Ask it to end (SIGTERM); after `patience_s` make it (SIGKILL)."""
        if self.running:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), patience_s)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        await self._lines


async def start(name: str, command: Sequence[str], *, environ: Mapping[str, str], say: Say) -> Child:
    """Start `command`; its output goes line by line to `say`, with its name."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
    assert process.stdout is not None
    lines = asyncio.create_task(_pass_on(name, process.stdout, say), name=f"output of {name}")
    return Child(name, process, lines)


async def _pass_on(name: str, stream: asyncio.StreamReader, say: Say) -> None:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # a line longer than the stream's limit: the rest of it follows
            continue
        if not line:
            return
        say(f"[{name}] {line.decode(errors='replace').rstrip()}")
