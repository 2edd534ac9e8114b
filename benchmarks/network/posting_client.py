"""A client process of the bandwidth benchmark, which posts one body again and again.

Reads orders from standard input, one JSON object per line, and answers each with the number of bodies that were posted:

    {"url": "http://10.0.0.1:8080/", "seconds": 5}              all go to this URL
    {"lookup": "http://10.0.0.1:12480/next", "seconds": 5}      each goes to the worker that is looked up for it
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from typing import Any

import aiohttp
import uvloop


async def post_for(order: dict[str, Any], body: bytes, *, at_once: int) -> int:
    """Post until the time is over and wait for the last answers; raises RuntimeError at an answer that is not 200."""
    until_s = time.monotonic() + order["seconds"]

    async def one_after_another(http: aiohttp.ClientSession) -> int:
        done = 0
        while time.monotonic() < until_s:
            url = order.get("url") or await looked_up(http, order["lookup"])
            async with http.post(url, data=body) as answer:
                text = await answer.text()
            if answer.status != 200:
                raise RuntimeError(f"{url} answered {answer.status}: {text[:200]}")
            done += 1
        return done

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        return sum(await asyncio.gather(*(one_after_another(http) for _ in range(at_once))))


async def looked_up(http: aiohttp.ClientSession, url: str) -> str:
    """The URL of the next worker in rotation."""
    async with http.get(url) as answer:
        return f"http://{(await answer.text()).strip()}/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--body-bytes", type=int, default=1_000_000)
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    body = os.urandom(options.body_bytes)
    for line in sys.stdin:
        print(uvloop.run(post_for(json.loads(line), body, at_once=options.at_once)), flush=True)


if __name__ == "__main__":
    main()
