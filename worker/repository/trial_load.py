"""A new version is loaded first by a process apart, in time that nobody wants; the one that serves loads it after.

What that finds out (that the model loads at all, which engine suits it, its converted form) is in the engines'
cache afterwards, so little is left to do where requests wait. A model that crashes its loader, fills the memory or
never comes to an end costs that process and not the worker.
"""

from __future__ import annotations

import asyncio
from functools import partial

from worker.artifacts.source import ModelSource
from worker.errors import ModelError
from worker.system.child_call import apart


async def prepare(source: ModelSource, *, name: str, within_s: float) -> None:
    """Load `source` once in a process of its own; raises ModelError where that fails, or takes longer."""
    try:
        async with asyncio.timeout(within_s) as limit:
            await apart(partial(_load_once, source, name), beside_callers=True)
    except TimeoutError:
        if not limit.expired():
            raise
        raise ModelError(
            f"Loading it for a trial took longer than {within_s:g} s and was ended: it hangs, or --load-timeout is "
            "too short for it."
        ) from None


def _load_once(source: ModelSource, name: str) -> None:
    from worker.inference.model import load  # this process is here for what that loads

    load(source, name=name, ahead=True).close()
