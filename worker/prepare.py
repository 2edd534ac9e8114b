"""A new version is loaded first by a process apart, at the lowest priority; the one that serves loads it after.

What that finds out (that the model loads at all, which engine suits it, its converted form) is in the engines'
cache afterwards, so little is left to do where requests wait. A model that crashes its loader, or fills the
memory, ends that process and not the worker. The source goes in on standard input, the error comes out as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import sys

from registry.orphans import die_with_parent
from worker.errors import ModelError
from worker.source import ModelSource

LOWEST_PRIORITY = 19


async def prepare(source: ModelSource, *, name: str) -> None:
    """Load `source` once in a process of its own; raises ModelError where it cannot be loaded."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker.prepare"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )
    try:
        said, _ = await process.communicate(pickle.dumps((source, name)))
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise ModelError(
            f"The process that loaded it for a trial ended with {process.returncode} (a negative number is a "
            "signal): is the memory enough? Its last lines are in this log."
        )
    error = json.loads(said or b"{}").get("error")
    if error is not None:
        raise ModelError(error)


def main() -> None:
    """Load what standard input says, and tell on standard output how that went."""
    os.setpriority(os.PRIO_PROCESS, 0, LOWEST_PRIORITY)
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints is for the log
    from worker.model import load

    source, name = pickle.load(sys.stdin.buffer)
    try:
        load(source, name=name).close()
    except ModelError as error:
        json.dump({"error": str(error)}, answer)
        answer.flush()


if __name__ == "__main__":
    main()
