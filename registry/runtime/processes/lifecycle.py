"""Runs the main coroutine of a server process: on uvloop, with log lines, with signals that only set an event.

The first SIGINT or SIGTERM asks for a clean end; the second one ends the process at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop

from registry.runtime.logs.settings import LogSettings, configure
from registry.runtime.processes import open_files
from registry.runtime.visible_text import visible_lines

DEFAULT_LOG = LogSettings()


def run(
    main: Callable[[asyncio.Event], Awaitable[None]],
    *,
    failures: tuple[type[Exception], ...],
    log: LogSettings = DEFAULT_LOG,
) -> int:
    """Run `main(stop)` until it returns; the process's exit code. Its lines are written as `log` says.

    `stop` is set by the first signal. An error of one of `failures` is shown as its sentence, with code 1.
    """

    async def until_signalled() -> int:
        await _until_signalled(main)
        return 0

    return run_with_own_signals(until_signalled, failures=failures, log=log)


def run_with_own_signals(
    main: Callable[[], Coroutine[Any, Any, int]],
    *,
    failures: tuple[type[Exception], ...],
    log: LogSettings = DEFAULT_LOG,
) -> int:
    """Run a `main` that handles signals itself and returns the process's exit code; the rest is as in `run`."""
    open_files.raise_limit()
    configure(log)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(main())
        except failures as error:
            print(f"error: {visible_lines(str(error))}", file=sys.stderr)
            return 1


async def _until_signalled(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _signalled, stop, number)
    await main(stop)


def _signalled(stop: asyncio.Event, number: signal.Signals) -> None:
    if stop.is_set():
        os._exit(128 + number)
    stop.set()
