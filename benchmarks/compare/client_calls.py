"""Makes calls with whichever p2pclient Python imports, for as long as each line on standard input says.

    PYTHONPATH=CHECKOUT python client_calls.py LOOKUP_URL PHOTO AT_ONCE

With AT_ONCE of 0 the blocking Client makes the calls, else so many tasks share an AsyncClient. Each line on standard
input is a number of seconds; the answer is a line of the number of calls, the seconds and the processor seconds that
they took. This file must run with any version of the client, so it imports nothing else of the project.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from p2pclient import AsyncClient, Client


def answer_orders(call_for: Callable[[float], int]) -> None:
    """Call `call_for` with the seconds of each line; print what it returns, and what it took."""
    for line in sys.stdin:
        began_s, cpu_s = time.perf_counter(), time.process_time()
        calls = call_for(float(line))
        print(calls, time.perf_counter() - began_s, time.process_time() - cpu_s, flush=True)


def blocking(lookup_url: str, photo: bytes) -> None:
    """Answer with calls of the blocking client, one by one."""
    with Client(lookup_url) as client:

        def call_for(seconds: float) -> int:
            until_s, calls = time.perf_counter() + seconds, 0
            while time.perf_counter() < until_s:
                client.classify(photo)
                calls += 1
            return calls

        answer_orders(call_for)


def concurrent(lookup_url: str, photo: bytes, at_once: int) -> None:
    """Answer with calls of several tasks that share a client."""

    async def one_after_another(client: AsyncClient, until_s: float) -> int:
        calls = 0
        while time.perf_counter() < until_s:
            await client.classify(photo)
            calls += 1
        return calls

    with asyncio.Runner() as runner:

        async def opened() -> AsyncClient:
            return AsyncClient(lookup_url)

        client = runner.run(opened())

        async def call_all(seconds: float) -> int:
            until_s = time.perf_counter() + seconds
            return sum(await asyncio.gather(*(one_after_another(client, until_s) for _ in range(at_once))))

        answer_orders(lambda seconds: runner.run(call_all(seconds)))
        runner.run(client.close())


def main() -> None:
    lookup_url, photo, at_once = sys.argv[1], Path(sys.argv[2]).read_bytes(), int(sys.argv[3])
    if at_once:
        concurrent(lookup_url, photo, at_once)
    else:
        blocking(lookup_url, photo)


if __name__ == "__main__":
    main()
