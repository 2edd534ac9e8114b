"""The one road from an encoded image to scores: decode in a thread, wait for a batch, predict.

Every protocol comes in here, so that limits, deadlines and numbers are the same for all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Executor

from worker.batcher import Batcher, Image, Scores
from worker.metrics import Numbers
from worker.model import Model


class Predictor:
    """A model behind the decoding threads and its batcher; use as an async context manager."""

    def __init__(
        self, model: Model, batcher: Batcher, *, decoding: Executor, deadline_s: float, numbers: Numbers
    ) -> None:
        self.model = model
        self.batcher = batcher
        self._deadline_s = deadline_s
        self._numbers = numbers
        self._decoding = decoding

    async def __aenter__(self) -> Predictor:
        await self.batcher.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.batcher.__aexit__()

    def deadline_s(self, timeout_s: float | None) -> float:
        """The monotonic time by which a request that arrives now must be answered."""
        return time.monotonic() + min(self._deadline_s, timeout_s if timeout_s is not None else self._deadline_s)

    async def predict(self, encoded: Sequence[bytes], *, deadline_s: float) -> list[Scores]:
        """Scores [classes] of each encoded image, in order; raises a WorkerError if any of them has none."""
        self.batcher.admit(deadline_s=deadline_s)
        with self.batcher.coming():
            images = await self._decode(encoded)
        return await self.predict_arrays(images, deadline_s=deadline_s)

    async def predict_arrays(self, images: Sequence[Image], *, deadline_s: float) -> list[Scores]:
        """Scores [classes] of each decoded image, uint8 [height, width, 3] as `model.decode` gives them, in order."""
        if len(images) == 1:
            return [await self.batcher.submit(images[0], deadline_s=deadline_s)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.batcher.submit(i, deadline_s=deadline_s)) for i in images]
        return [task.result() for task in tasks]

    async def _decode(self, encoded: Sequence[bytes]) -> list[Image]:
        started_s = time.monotonic()
        loop = asyncio.get_running_loop()
        decoding = [loop.run_in_executor(self._decoding, self.model.decode, data) for data in encoded]
        try:
            return list(await asyncio.gather(*decoding))
        finally:
            for future in decoding:
                future.cancel()
            self._numbers.stage_s.labels(stage="decode").observe(time.monotonic() - started_s)
