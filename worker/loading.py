"""A model's files -> a predictor that is loaded and warm; and the way back, when nobody uses it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from worker.beside import warm_beside
from worker.memory import give_back
from worker.metrics import Numbers
from worker.model import load
from worker.predictor import Predictor
from worker.settings import WorkerSettings
from worker.source import ModelSource
from worker.turns import Turns
from worker.warmup import measure_pace


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads that all models of a worker share: several that decode, and one that loads and unloads.

    One, so that models are loaded one after the other, and so that the C library takes the memory for a model
    from where it put that of the last: each of its arenas keeps some of what was freed there (docs/versions.md).
    """

    decoding: Executor
    loading: Executor


@contextmanager
def running_threads(*, decoding: int) -> Iterator[Threads]:
    """These threads, `decoding` of them that decode; what has not begun when the context ends never does."""
    threads = Threads(
        decoding=ThreadPoolExecutor(decoding, thread_name_prefix="decode"),
        loading=ThreadPoolExecutor(1, thread_name_prefix="load"),
    )
    try:
        yield threads
    finally:
        threads.decoding.shutdown(wait=False, cancel_futures=True)
        threads.loading.shutdown(wait=False, cancel_futures=True)


async def open_predictor(
    source: ModelSource,
    *,
    name: str,
    version: str | None,
    settings: WorkerSettings,
    serving: Predictor | None,
    threads: Threads,
    turns: Turns,
    numbers: Numbers,
) -> Predictor:
    """Load and warm `source` and start its batcher, disturbing little what is `serving`, if anything is.

    `version` names it, else its place does. Raises ModelError.
    """
    loop = asyncio.get_running_loop()
    model = await loop.run_in_executor(threads.loading, partial(load, source, name=name))
    try:
        model = replace(model, version=version or model.version)
        between = turns.from_thread(loop)
        warm = partial(warm_beside, serving=serving.batcher.pace) if serving else measure_pace
        pace = await loop.run_in_executor(threads.loading, partial(warm, model, between=between))
        predictor = Predictor.over(
            model,
            pace,
            decoding=threads.decoding,
            queue_most=settings.queue_most,
            deadline_s=settings.deadline_s,
            numbers=numbers,
            turns=turns,
        )
        return await predictor.__aenter__()
    except BaseException:
        model.close()
        raise


async def close(predictor: Predictor, *, threads: Threads, patient: bool = True) -> None:
    """Stop its batches and give its memory back; `patient` waits for a batch that is running, be it for ever."""
    if patient:
        await predictor.batcher.drained()
    await predictor.__aexit__()
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(threads.loading, predictor.model.close)
    await loop.run_in_executor(threads.loading, give_back)
