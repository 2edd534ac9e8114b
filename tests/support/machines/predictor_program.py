"""Predicts until SIGTERM: by p2pclient, by curl in two steps, and by curl through the 307. Writes a JSON line for each.

It runs as a program on a machine that has curl and p2pclient and nothing else of ours:
`python predictor_program.py LOOKUP CA TOKEN_FILE PICTURE OUTPUT`. A line says by which way, from when until when
(seconds of the monotonic clock, which all machines of one host share), and what failed: "" where nothing did.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, TextIO

from p2pclient import TLS, AsyncClient

PAUSE_S = {"p2pclient": 0.2, "curl": 0.4, "307": 0.4}
"""Between two predictions of one loop; the machines share two cores."""

LOOPS: Sequence[tuple[Literal["watch", "lookup"], int]] = (("watch", 3), ("lookup", 1))
"""How many loops predict with each routing of p2pclient."""


AGAIN = ("--retry", "5", "--retry-delay", "1", "--retry-connrefused", "--connect-timeout", "2", "--max-time", "30")
"""How curl asks the one lookup service again while that restarts."""


class CurlFailed(Exception):
    """What curl complained about."""


async def curl(*arguments: str) -> str:
    """`curl ARGUMENTS`; what it wrote. Raises CurlFailed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--show-error", "--fail", *arguments, stdout=pipe, stderr=pipe
    )
    said, complaint = await process.communicate()
    if process.returncode:
        raise CurlFailed(f"curl ended with {process.returncode}: {complaint.decode().strip()}")
    return said.decode()


class Ways:
    """The ways to a prediction; each method makes one, or raises."""

    def __init__(self, lookup: str, ca: str, token_file: str, picture: str) -> None:
        self._lookup = lookup
        self._trusting = ("--cacert", ca)
        self._header = ("--header", f"@{token_file}")
        self._form = ("--form", f"data=@{picture}")

    async def two_steps(self) -> None:
        """Three addresses, of which the first that answers is enough."""
        said = await curl(*self._trusting, *self._header, *AGAIN, f"{self._lookup}/next?count=3&scheme=1")
        complaints = []
        for address in said.split():
            try:
                patience = ("--connect-timeout", "1", "--max-time", "10")
                check(await curl(*self._trusting, *patience, *self._form, address))
                return
            except CurlFailed as error:
                complaints.append(f"{address.partition('?')[0]}: {error}")
        raise CurlFailed("; ".join(complaints) or "no address")

    async def redirected(self) -> None:
        """One request, which the lookup service sends on."""
        check(await curl(*self._trusting, *self._header, *AGAIN, "--location", *self._form, self._lookup))


def check(answer: str) -> None:
    """Raise CurlFailed where the answer holds no labels."""
    if not answer.startswith("[["):
        raise CurlFailed(f"no labels: {answer[:200]}")


async def keep_predicting(way: str, predict: Callable[[], Awaitable[object]], output: TextIO) -> None:
    """Predict and write down, until cancelled."""
    while True:
        began_s, failed = time.monotonic(), ""
        try:
            await predict()
        except Exception as error:
            failed = f"{type(error).__name__}: {error}"
        line = {"way": way, "from_s": began_s, "until_s": time.monotonic(), "failed": failed}
        output.write(json.dumps(line) + "\n")
        output.flush()
        await asyncio.sleep(PAUSE_S[way])


async def main(lookup: str, ca: str, token_file: str, picture: str, output: str) -> None:
    """Run all loops until SIGTERM."""
    token = Path(token_file).read_text().split()[-1]
    ways = Ways(lookup, ca, token_file, picture)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    with Path(output).open("a", encoding="utf-8") as file:
        async with contextlib.AsyncExitStack() as stack:
            loops = [keep_predicting("curl", ways.two_steps, file), keep_predicting("307", ways.redirected, file)]
            for routing, count in LOOPS:
                client = AsyncClient(lookup, tls=TLS(ca=ca), token=token, routing=routing)
                await stack.enter_async_context(client)
                loops += [keep_predicting("p2pclient", _classifying(client, picture), file) for _ in range(count)]
            tasks = [asyncio.create_task(each) for each in loops]
            await stopped.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _classifying(client: AsyncClient, picture: str) -> Callable[[], Awaitable[object]]:
    return lambda: client.classify(picture)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
