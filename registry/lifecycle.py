"""How every server process here begins and ends: uvloop, log lines, signals that only set an event.

The first SIGINT or SIGTERM asks for a clean end; the second one forces it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop


def run(main: Callable[[asyncio.Event], Awaitable[None]], *, failures: tuple[type[Exception], ...]) -> int:
    """Run `main(stop)` until it returns; the process's exit code.

    `stop` is set by the first signal. An error of one of `failures` is shown as its sentence, with code 1.
    """
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname).1s %(name)s: %(message)s"
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_until_signalled(main))
        except failures as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


async def _until_signalled(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _signalled, stop, number)
    await main(stop)


def _signalled(stop: asyncio.Event, number: signal.Signals) -> None:
    if stop.is_set():
        os._exit(128 + number)
    stop.set()
