"""Several workers in one process, each of which answers one request after the other and counts its requests.

    python -m benchmarks.client.counting_workers COUNT WAIT_MS [SLOW_TIMES]

A worker waits WAIT_MS before it answers and meanwhile serves no other request, as if its model ran on an accelerator.
With SLOW_TIMES the first worker waits that many times longer than the others. Prints the ports on one line. Answers
each line on standard input with the number of requests that each worker has had since the previous line.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web


async def worker(number: int, wait_s: float, counts: list[int]) -> int:
    """Start one; its port."""
    busy = asyncio.Lock()

    async def answer(request: web.Request) -> web.Response:
        counts[number] += 1
        await request.read()
        async with busy:
            await asyncio.sleep(wait_s)
        return web.json_response([["tabby", 0.61]])

    app = web.Application(client_max_size=0)
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


async def main() -> None:
    count, wait_s = int(sys.argv[1]), float(sys.argv[2]) / 1000
    slow = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
    counts = [0] * count
    ports = [await worker(n, wait_s * (slow if n == 0 else 1.0), counts) for n in range(count)]
    print(*ports, flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(*counts, flush=True)
        counts[:] = [0] * count


if __name__ == "__main__":
    uvloop.run(main())
