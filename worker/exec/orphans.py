"""Processes that the server has started and that have left its process group, as daemons do: they end with it.

On Linux this process adopts them when their own parents end (prctl(2), PR_SET_CHILD_SUBREAPER), and so finds them
among its descendants. Elsewhere they belong to process 1, and are not found.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
from pathlib import Path

logger = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""How long they may take to end after SIGTERM."""

POLL_S = 0.05
REAP_EVERY_S = 1.0

_PR_SET_CHILD_SUBREAPER = 36


def adopt() -> None:
    """From now on, descendants of this process whose parents end become its children."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def reap(server: int) -> None:
    """Wait for adopted processes that have ended, so that they leave the process table, until cancelled.

    `server` is the process id of the one child that somebody else waits for.
    """
    while True:
        await asyncio.sleep(REAP_EVERY_S)
        _reap(_children(os.getpid()) - {server})


async def end() -> None:
    """End all descendants of this process: with SIGTERM, after PATIENCE_S with SIGKILL."""
    if orphans := _living():
        logger.info("The server leaves processes behind, which end now: %s.", ", ".join(map(str, sorted(orphans))))
    for number in (signal.SIGTERM, signal.SIGKILL):
        _send(number, _living())
        until_s = time.monotonic() + PATIENCE_S
        while _living() and time.monotonic() < until_s:  # noqa: ASYNC110  no event tells of processes that are not ours
            await asyncio.sleep(POLL_S)


def _living() -> set[int]:
    """The descendants of this process, without those that have ended."""
    _reap(_children(os.getpid()))
    return _descendants(os.getpid())


def _reap(children: set[int]) -> None:
    for child in children:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


def _send(number: signal.Signals, processes: set[int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def _descendants(process: int) -> set[int]:
    children = _children(process)
    return children.union(*map(_descendants, children))


def _children(process: int) -> set[int]:
    """The children of all threads of a process; none where there is no /proc."""
    found: set[int] = set()
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(map(int, file.read_text().split()))
    return found
