"""Sends mutated requests to the lookup's fast path and to the framework behind it, which must answer alike.

    python -m benchmarks.fuzz.fast_path [--seconds 60] [--seed N]

At the first difference it prints the request and exits with code 1; so it does where a callback of the event loop, in
which both run, takes more than 20 ms of its thread's processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import random
import sys
import time

from tests.support.event_loops.slow_callbacks import slow_callbacks
from tests.support.lookups.lookup_app import PLAIN, PLAIN_TARGETS, alike, served
from tests.support.raw_http import conversation

SLOW_CALLBACK_S = 0.02

PIECES = [
    *PLAIN_TARGETS,
    b"\r\n",
    b"\n",
    b"\r",
    b": ",
    b":",
    b" ",
    b"\t",
    b"\x00",
    b"\xff",
    b"Host: localhost",
    b"Accept: application/json",
    b"Connection: close",
    b"Content-Length: 3",
    b"Transfer-Encoding: chunked",
    b"HTTP/1.0",
    b"GET ",
    b"HEAD ",
    b"%00",
]


def mutated(chance: random.Random) -> list[bytes]:
    """A plain request with up to four random changes, in one to three fragments."""
    request = bytearray(PLAIN.replace(b"/next", chance.choice(PLAIN_TARGETS)))
    for _ in range(chance.randrange(5)):
        at, kind = chance.randrange(len(request) + 1), chance.randrange(4)
        if kind == 0:
            request[at:at] = chance.choice(PIECES)
        elif kind == 1:
            del request[at : at + chance.randrange(1, 8)]
        elif kind == 2 and at < len(request):
            request[at] = chance.randrange(256)
        else:
            request[at:at] = request[: chance.randrange(1, 40)]
    text = bytes(request) * chance.choice((1, 1, 1, 2))
    cuts = sorted(chance.randrange(len(text) + 1) for _ in range(chance.choice((0, 0, 1, 2))))
    return [part for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True) if (part := text[a:b])]


async def fuzz(seconds: float, seed: int) -> int:
    """Fuzz for so long, or until the first finding; the exit code."""
    gc.collect()
    gc.freeze()  # a collection of all that this process has imported would be a slow callback
    with slow_callbacks(SLOW_CALLBACK_S) as slow:
        code = await differences(seconds, seed, slow)
    print("\n".join(f"A callback took {each}" for each in slow), end="\n" if slow else "")
    return code or bool(slow)


async def differences(seconds: float, seed: int, slow_callbacks_found: list[str]) -> int:
    """Compare for so long, or until the first difference or slow callback; the exit code."""
    chance, tried, end_s = random.Random(seed), 0, time.monotonic() + seconds
    async with served(fast=True) as (fast_port, path), served(fast=False) as (slow_port, _):
        while time.monotonic() < end_s and not slow_callbacks_found:
            batch = [mutated(chance) for _ in range(16)]
            fast, slow = await asyncio.gather(
                asyncio.gather(*(conversation(fast_port, f) for f in batch)),
                asyncio.gather(*(conversation(slow_port, f) for f in batch)),
            )
            for fragments, (said, closed), (expected, also) in zip(batch, fast, slow, strict=True):
                if (alike(said), closed) != (alike(expected), also):
                    print(f"seed {seed}: {fragments!r}\nfast: {said!r} {closed}\nslow: {expected!r} {also}")
                    return 1
            tried += len(batch)
    print(f"{tried} conversations alike, {path.answered} of their requests by the fast path; seed {seed}")
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    sys.exit(asyncio.run(fuzz(options.seconds, options.seed)))


if __name__ == "__main__":
    main()
