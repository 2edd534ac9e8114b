"""A worker in a process of its own, to be killed and stopped: prints its port, then answers every image."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web


async def classify(request: web.Request) -> web.Response:
    await request.read()
    await asyncio.sleep(float(sys.argv[1]))  # the time a model takes
    return web.json_response([["tabby", 0.61]])


async def main() -> None:
    app = web.Application(client_max_size=0)  # no limit
    app.router.add_post("/", classify)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
