"""The memory that calls of the client leave behind, and how long importing the client takes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import tracemalloc

import uvloop

from p2pclient import AsyncClient
from tests.support.photos import chelsea_jpeg

AT_ONCE = 10


def retained_memory(lookup_url: str, calls: int) -> str:
    """What Python has allocated after each of four times `calls` calls, beyond what it had after the first time."""
    body = chelsea_jpeg()

    async def measure() -> list[int]:
        allocated = []
        async with AsyncClient(lookup_url) as client:
            for _ in range(5):
                for _ in range(calls // AT_ONCE):
                    await asyncio.gather(*(client.classify(body) for _ in range(AT_ONCE)))
                allocated.append(tracemalloc.get_traced_memory()[0])
        return allocated

    tracemalloc.start()
    first, *later = uvloop.run(measure())
    tracemalloc.stop()
    growth = ", ".join(f"{(allocated - first) / 1000:+.0f}" for allocated in later)
    return f"Memory after each further {calls:,} calls, kB: {growth}"


def import_s(statement: str) -> float:
    """Seconds that an import takes in a fresh interpreter, beyond the start of the interpreter; the least of five."""

    def least(code: str) -> float:
        times = []
        for _ in range(5):
            began_s = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - began_s)
        return min(times)

    return least(statement) - least("pass")
