"""A model's files -> a predictor that is loaded and warm; and the way back, when nobody uses it any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from worker.artifacts.source import ModelSource
from worker.batching.core_scheduler import Turns
from worker.batching.policy import Pace
from worker.inference.calibration import Between, measure_pace
from worker.inference.model import Model, load
from worker.inference.predictor import Predictor
from worker.inference.warm_beside import warm_beside
from worker.settings import WorkerSettings
from worker.system.file_lock import alone
from worker.system.loop_threads import Hands
from worker.system.memory import give_back
from worker.telemetry.metrics import WorkerMetrics

_log = logging.getLogger(__name__)

OTHERS_FIRST_S = 30.0
"""So long a worker that starts waits for others of its machine that learn their pace, and then learns beside them."""


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads that all models of a worker share: several that decode, and one that loads and unloads.

    One, so that models are loaded one after the other, and so that the C library takes the memory for a model
    from where it put that of the last: each of its arenas keeps some of what was freed there (docs/guide/versions.md).
    """

    decoding: Hands
    loading: Executor


@contextmanager
def running_threads(*, decoding: int) -> Iterator[Threads]:
    """These threads, `decoding` of them that decode; what has not begun when the context ends never does."""
    threads = Threads(
        decoding=Hands(decoding, name="decode"),
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
    serving: Predictor | None,
    threads: Threads,
    turns: Turns,
    numbers: WorkerMetrics,
) -> Predictor:
    """Load and warm `source` and start its batcher, disturbing little what is `serving`, if anything is.

    `version` names it, else its place does. Raises ModelError.
    """
    loop = asyncio.get_running_loop()
    model = await loop.run_in_executor(threads.loading, partial(load, source, name=name))
    try:
        model = replace(model, version=version or model.version)
        between = turns.from_thread(loop)
        warm = (
            partial(warm_beside, serving=serving.batcher.pace)
            if serving
            else partial(measure_alone, lock=source.cache / "pace.lock")
        )
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


def measure_alone(
    model: Model, *, lock: Path, between: Between = nullcontext, within_s: float = OTHERS_FIRST_S
) -> Pace:
    """The pace of a model that is the first of its process, learned after other workers that start at this moment.

    Two that learn at once on the same cores find batches slow that are not, and take smaller ones for good. Whoever
    holds `lock` for all of `within_s` hangs, or there are many: then this goes on beside it, as it does where the
    lock cannot be made.
    """
    with ExitStack() as stack:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            if not stack.enter_context(alone(lock, within_s=within_s)):
                _log.warning("Others have been learning their pace for %g s: learning beside them.", within_s)
        except OSError as error:
            _log.debug("Learning the pace without waiting for others: %s", error)
        return measure_pace(model, between=between)


async def close(predictor: Predictor, *, threads: Threads, patient: bool = True) -> None:
    """Stop its batches and give its memory back; `patient` waits for a batch that is running, be it for ever."""
    if patient:
        await predictor.batcher.drained()
    await predictor.__aexit__()
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(threads.loading, predictor.model.close)
    await loop.run_in_executor(threads.loading, give_back)
