"""Requests of rows become batches: within the cap, in order, by kind, and with the errors that belong to each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from worker.batching.policy import Pace
from worker.engines.base import InputSpec
from worker.engines.tensors import Signature, Tensors, TensorSpec, joined
from worker.errors import Busy, WorkerError
from worker.inference.tensor_model import TensorModel
from worker.inference.tensor_predictor import ROOM_IN_BATCHES, TensorPredictor
from worker.system.loop_threads import LoopThreads
from worker.telemetry.metrics import WorkerMetrics

CAP = 4
SIGNATURE = Signature((TensorSpec("x", "FP32"),), None)


class Doubling:
    """A tensor engine that doubles; a negative number is more than it can bear, and NaN ends its process."""

    name = platform = "doubling"
    device = "cpu"
    trouble: str | None = None
    signature = SIGNATURE

    def __init__(self) -> None:
        self.batches: list[int] = []

    def example(self) -> Tensors | None:
        return None

    def predict(self, rows: Tensors) -> Sequence[Tensors]:
        self.batches.append(rows.rows)
        x = rows.arrays["x"]
        if np.isnan(x).any():
            raise Busy("It is started again.", retry_after_s=1)
        if (x < 0).any():
            raise ValueError("negative")
        return [Tensors({"y": 2 * x})]

    def close(self) -> None:
        pass


@asynccontextmanager
async def predicting(engine: Doubling, *, queue_most: int = 1) -> AsyncIterator[TensorPredictor]:
    decoding = LoopThreads(1, name="decode")
    predictor = TensorPredictor.over(
        TensorModel("doubling", "1", engine, InputSpec(None), 1000),
        Pace(cap=CAP, batch_s=0.001, single_s=0.001),
        decoding=decoding,
        queue_most=queue_most,
        deadline_s=60.0,
        numbers=WorkerMetrics(),
    )
    try:
        async with predictor:
            yield predictor
    finally:
        decoding.close()


async def asked(predictor: TensorPredictor, values: Any) -> list[Any]:
    rows = Tensors({"x": np.asarray(values, np.float32)})
    parts = await predictor.predict(rows, deadline_s=time.monotonic() + 60.0)
    found: list[Any] = joined(parts).arrays["y"].tolist()
    return found


async def test_a_large_request_is_cut_into_batches() -> None:
    """However many rows it has and however short the queue, they come back in order."""
    engine = Doubling()
    async with predicting(engine) as predictor:
        assert await asked(predictor, range(1001)) == [2 * number for number in range(1001)]
        assert predictor.batcher.depth == predictor.batcher.held_bytes == 0
    assert max(engine.batches) <= CAP
    assert sum(engine.batches) == 1001


async def test_rows_of_several_requests_go_together() -> None:
    """Each caller gets the rows of its own request."""
    engine = Doubling()
    async with predicting(engine) as predictor:
        found = await asyncio.gather(*(asked(predictor, [number, number + 0.5]) for number in range(10)))
    assert found == [[2.0 * number, 2.0 * number + 1] for number in range(10)]
    assert len(engine.batches) < 10


async def test_rows_of_different_shapes_are_predicted_apart() -> None:
    """They cannot be one array."""
    async with predicting(Doubling()) as predictor:
        flat, nested = await asyncio.gather(asked(predictor, [1.0]), asked(predictor, [[1.0, 2.0]]))
    assert (flat, nested) == ([2.0], [[2.0, 4.0]])


async def test_only_the_request_at_fault_fails() -> None:
    """A batch that fails is tried again request by request."""
    async with predicting(Doubling()) as predictor:
        good, bad, other = await asyncio.gather(
            *(asked(predictor, [value]) for value in (1.0, -1.0, 2.0)), return_exceptions=True
        )
    assert (good, other) == ([2.0], [4.0])
    assert isinstance(bad, WorkerError)
    assert bad.status == 500


async def test_an_engine_that_is_away_is_not_asked_again() -> None:
    """All requests of the batch are refused as busy, whichever it was that ended the process."""
    engine = Doubling()
    async with predicting(engine) as predictor:
        with pytest.raises(Busy):
            await asked(predictor, [1.0, np.nan])
    assert engine.batches == [2]


async def test_the_queue_has_room_for_several_batches() -> None:
    """A short queue of images would refuse the second batch of rows."""
    async with predicting(Doubling(), queue_most=1) as predictor:
        full = [float(number) for number in range(CAP)]
        found = await asyncio.gather(*(asked(predictor, full) for _ in range(ROOM_IN_BATCHES)))
    assert found == [[2 * value for value in full]] * ROOM_IN_BATCHES
