"""The one path from an encoded image to its scores: a thread decodes it, it waits for a batch, the engine predicts.

Every protocol calls it, so that limits, deadlines and metrics are the same for all. A small image is decoded by the
thread that predicts it where no other image is there (docs/decisions/0051-lone-images.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from registry.security.permission import UNLIMITED, Permission
from worker.batching.batcher import Batcher
from worker.batching.core_scheduler import CoreScheduler
from worker.batching.policy import Pace
from worker.batching.queue import Image, Scores
from worker.images.quick_decoding import decodes_quickly
from worker.inference.image_decoding import ImageDecoding
from worker.inference.model import Model
from worker.inference.model_predictor import ModelPredictor, decoded
from worker.system.loop_threads import LoopThreads
from worker.telemetry.metrics import WorkerMetrics


class Predictor(ModelPredictor):
    """A classifier with decoding threads and a batcher before it; use as an async context manager."""

    model: Model

    def __init__(
        self, model: Model, batcher: Batcher, *, decoding: LoopThreads, deadline_s: float, numbers: WorkerMetrics
    ) -> None:
        super().__init__(model, batcher, deadline_s=deadline_s, numbers=numbers)
        self._decoding = ImageDecoding(decoding, model.decode)
        size = model.engine.input.size
        self._image_bytes = 3 * size.height * size.width if size else 0

    @classmethod
    def over(
        cls,
        model: Model,
        pace: Pace,
        *,
        decoding: LoopThreads,
        queue_most: int,
        deadline_s: float,
        numbers: WorkerMetrics,
        scheduler: CoreScheduler | None = None,
    ) -> Predictor:
        """A predictor whose batcher fits the model's engine.

        The next batch is assembled while one runs only where a GPU predicts: an engine that uses all cores leaves none
        for that (docs/decisions/0022-padding-and-assembling-ahead.md).
        """
        engine = model.engine
        batcher = Batcher(
            model.predict,
            stream=model.stream,
            pace=pace,
            queue_most=queue_most,
            numbers=numbers.model(model.name),
            scheduler=scheduler,
            sizes=engine.fixed_batches or (),
            upload=engine.upload,
            ahead=engine.device != "cpu" and engine.input.size is not None,
        )
        return cls(model, batcher, decoding=decoding, deadline_s=deadline_s, numbers=numbers)

    @property
    def moving(self) -> bool:
        """Whether images get decoded and predicted. From any thread."""
        return self._decoding.moving and super().moving

    async def predict(
        self, encoded: Sequence[bytes], *, deadline_s: float, permission: Permission = UNLIMITED
    ) -> list[Scores]:
        """Scores [classes] of each encoded image, in order.

        Raises a WorkerError if any of them has none, OverQuota where the caller has too few places.
        """
        if permission.places is not None:
            permission.places.hold(len(encoded))
        nbytes = sum(max(len(data), self._image_bytes) for data in encoded)
        caller = permission.caller
        if len(encoded) == 1 and self.batcher.idle and decodes_quickly(encoded[0]):
            decode = self._decoding.in_time(encoded[0], deadline_s=deadline_s)
            return [await self.batcher.submit_encoded(decode, nbytes=nbytes, deadline_s=deadline_s, caller=caller)]
        with self.batcher.decoding(len(encoded), nbytes=nbytes, deadline_s=deadline_s, caller=caller):
            images = await decoded(encoded, self._decoding, self.numbers, deadline_s=deadline_s)
        return await self.batcher.submit_all(images, deadline_s=deadline_s, admitted=True, caller=caller)

    async def predict_arrays(
        self, images: Sequence[Image], *, deadline_s: float, permission: Permission = UNLIMITED
    ) -> list[Scores]:
        """Scores [classes] of each decoded image, uint8 [height, width, 3] as `model.decode` gives them, in order."""
        if permission.places is not None:
            permission.places.hold(len(images))
        return await self.batcher.submit_all(images, deadline_s=deadline_s, caller=permission.caller)
