"""A model's files -> a loaded and calibrated predictor; and the reverse, when no request uses it any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from worker.artifacts.source import ModelSource
from worker.batching.core_scheduler import CoreScheduler
from worker.batching.policy import Pace
from worker.inference.calibration import measure_exclusively, warm_while_serving
from worker.inference.load_model import AnyModel, load_model
from worker.inference.model_predictor import ModelPredictor
from worker.inference.predictor import Predictor
from worker.inference.tensor_model import TensorModel
from worker.inference.tensor_predictor import TensorPredictor
from worker.settings import WorkerSettings
from worker.system.loop_threads import LoopThreads
from worker.system.memory import release_memory
from worker.telemetry.metrics import WorkerMetrics

_log = logging.getLogger(__name__)

LoadedPredictor = Predictor | TensorPredictor

CLOSE_S = 5.0
"""How long a worker that ends waits for the thread that loads models, which may hang in a framework."""


@dataclass(frozen=True, slots=True)
class WorkerThreads:
    """The threads that all models of a worker share: several that decode, and one that loads and unloads.

    One thread loads, so that models are loaded one after the other, and so that the C library takes the memory for a
    model from where it put that of the last one: each of its arenas keeps some of what was freed there
    (docs/decisions/0007-swaps.md).
    """

    decoding: LoopThreads
    loading: Executor


@contextmanager
def running_threads(*, decoding: int) -> Iterator[WorkerThreads]:
    """The threads, `decoding` of them for decoding; jobs that have not begun when the context ends never run."""
    threads = WorkerThreads(
        decoding=LoopThreads(decoding, name="decode"),
        loading=ThreadPoolExecutor(1, thread_name_prefix="load"),
    )
    try:
        yield threads
    finally:
        threads.decoding.close()
        threads.loading.shutdown(wait=False, cancel_futures=True)


async def open_predictor(
    source: ModelSource,
    *,
    name: str,
    version: str | None,
    settings: WorkerSettings,
    serving: ModelPredictor | None,
    threads: WorkerThreads,
    scheduler: CoreScheduler,
    numbers: WorkerMetrics,
) -> LoadedPredictor:
    """Load and calibrate `source` and start its batcher, disturbing `serving`, if there is one, as little as possible.

    The model's version is `version`, or else the one that `locate` finds. Raises ModelError.
    """
    loop = asyncio.get_running_loop()
    model = await loop.run_in_executor(threads.loading, partial(load_model, source, name=name))
    try:
        model = replace(model, version=version or model.version)
        calibrate = (
            partial(warm_while_serving, serving=serving.batcher.pace)
            if serving
            else partial(measure_exclusively, lock=source.cache / "pace.lock")
        )
        pace = await loop.run_in_executor(threads.loading, partial(calibrate, model, gate=scheduler.background_step))
        predictor = _predictor_over(
            model, pace, settings=settings, threads=threads, scheduler=scheduler, numbers=numbers
        )
        await predictor.__aenter__()
        return predictor
    except BaseException:
        model.close()
        raise


def _predictor_over(
    model: AnyModel,
    pace: Pace,
    *,
    settings: WorkerSettings,
    threads: WorkerThreads,
    scheduler: CoreScheduler,
    numbers: WorkerMetrics,
) -> LoadedPredictor:
    """The predictor for the kind of model that was loaded."""
    if isinstance(model, TensorModel):
        return TensorPredictor.over(
            model,
            pace,
            decoding=threads.decoding,
            queue_most=settings.queue_most,
            deadline_s=settings.deadline_s,
            numbers=numbers,
            scheduler=scheduler,
        )
    return Predictor.over(
        model,
        pace,
        decoding=threads.decoding,
        queue_most=settings.queue_most,
        deadline_s=settings.deadline_s,
        numbers=numbers,
        scheduler=scheduler,
    )


async def unload(predictor: ModelPredictor, *, threads: WorkerThreads) -> None:
    """Wait for the batches that run, however long they take, then close the predictor and release its memory."""
    await predictor.batcher.drained()
    await predictor.__aexit__()
    await _free(predictor, threads)


async def close_at_exit(predictor: ModelPredictor, *, threads: WorkerThreads) -> None:
    """Close the predictor without waiting for its batches; leave the rest to the process's end after `CLOSE_S`."""
    await predictor.__aexit__()
    try:
        async with asyncio.timeout(CLOSE_S):
            await _free(predictor, threads)
    except TimeoutError:
        _log.warning("The thread that loads models hangs: %s is left to the process's end.", predictor.model.name)


async def _free(predictor: ModelPredictor, threads: WorkerThreads) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(threads.loading, predictor.model.close)
    await loop.run_in_executor(threads.loading, release_memory)
