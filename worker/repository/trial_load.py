"""A trial load: a child process loads a new version before the worker does, in processor time that nothing else wants.

Its results (that the model loads at all, which engine suits it, its converted form) are in the engines' cache
afterwards, so the worker has little left to do while it serves. A model that crashes its loader, fills the memory or
never finishes loading ends the child and not the worker.
"""

from __future__ import annotations

import asyncio
from functools import partial

from worker.artifacts.source import ModelSource
from worker.errors import ModelError
from worker.system.child_call import call_in_child


async def trial_load(source: ModelSource, *, name: str, within_s: float) -> None:
    """Load `source` once in a child process; raises ModelError where that fails or takes longer than `within_s`."""
    try:
        async with asyncio.timeout(within_s) as limit:
            await call_in_child(partial(_load_once, source, name), when_idle=True)
    except TimeoutError:
        if not limit.expired():
            raise
        raise ModelError(
            f"Loading it for a trial took longer than {within_s:g} s and was ended: it hangs, or --load-timeout is "
            "too short for it."
        ) from None


def _load_once(source: ModelSource, name: str) -> None:
    from worker.inference.load_model import load_model  # only the child imports what this loads

    load_model(source, name=name, trial=True).close()
