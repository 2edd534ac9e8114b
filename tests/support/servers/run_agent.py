"""Serves the embedded agent until its standard input ends: the child process of the contract tests."""

from __future__ import annotations

import asyncio
import sys

from registry.agent.server import serve_agent


async def _serve() -> None:
    async with serve_agent(host="127.0.0.1", port=0) as agent:
        print(agent.url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(_serve())
