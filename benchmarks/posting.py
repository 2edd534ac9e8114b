"""A client that posts one image as often as it is answered, for the bandwidth benchmark: one process, one host.

Reads orders from standard input, a JSON object a line, and answers each with a JSON list of the moments (the system's
monotonic clock, seconds) at which answers arrived:

    {"url": "http://10.0.0.1:8080/", "seconds": 5}                  every image goes to this URL
    {"lookup": "http://10.0.0.1:12480/next", "seconds": 5}          each goes to the worker that is looked up for it
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import uvloop


async def post_for(order: dict[str, Any], image: bytes, *, at_once: int) -> list[float]:
    """Post until the time is over; an answer that is no 200 is an error."""
    answered_s: list[float] = []
    until_s = time.monotonic() + order["seconds"]

    async def one_after_another(http: aiohttp.ClientSession) -> None:
        while time.monotonic() < until_s:
            url = order.get("url")
            if url is None:
                async with http.get(order["lookup"]) as answer:
                    url = f"http://{(await answer.text()).strip()}/"
            async with http.post(url, data=image, headers={"Content-Type": "image/jpeg"}) as answer:
                body = await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{url} answered {answer.status}: {body[:200]!r}")
            answered_s.append(time.monotonic())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http, asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_another(http))
    return answered_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    image = options.image.read_bytes()
    for line in sys.stdin:
        print(json.dumps(uvloop.run(post_for(json.loads(line), image, at_once=options.at_once))), flush=True)


if __name__ == "__main__":
    main()
