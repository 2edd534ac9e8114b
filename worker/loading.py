"""A model's files -> a predictor that is loaded and warm; and the way back, when nobody uses it any more."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import replace

from worker.batcher import Batcher
from worker.metrics import Numbers
from worker.model import load
from worker.predictor import Predictor
from worker.settings import WorkerSettings
from worker.source import ModelSource
from worker.warmup import measure_pace

POLL_S = 0.02


async def open_predictor(
    source: ModelSource,
    *,
    name: str,
    version: str | None,
    settings: WorkerSettings,
    decoding: Executor,
    numbers: Numbers,
) -> Predictor:
    """Load and warm `source` and start its batcher; `version` names it, else its place does. Raises ModelError."""
    model = await asyncio.to_thread(load, source, name=name)
    try:
        model = replace(model, version=version or model.version)
        pace = await asyncio.to_thread(measure_pace, model)
        batcher = Batcher(model.predict, pace=pace, queue_most=settings.queue_most, numbers=numbers)
        predictor = Predictor(model, batcher, decoding=decoding, deadline_s=settings.deadline_s, numbers=numbers)
        return await predictor.__aenter__()
    except BaseException:
        model.close()
        raise


async def close(predictor: Predictor, *, patient: bool = True) -> None:
    """Stop its batches and give its memory back; `patient` waits for a batch that is running, be it for ever."""
    while patient and predictor.batcher.running:  # noqa: ASYNC110  a batch whose callers have gone tells nobody
        await asyncio.sleep(POLL_S)
    await predictor.__aexit__()
    await asyncio.to_thread(predictor.model.close)
