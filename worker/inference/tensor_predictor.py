"""The one path from a request's rows to their outputs: blocks of them wait for a batch, the engine predicts.

A request of many rows is cut into blocks of at most one batch, a few of which wait at a time, so that other requests'
rows get their turn between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from registry.security.permission import UNLIMITED, Permission
from worker.batching.batcher import Batcher
from worker.batching.core_scheduler import CoreScheduler
from worker.batching.policy import Pace
from worker.batching.prediction import Predict
from worker.batching.queue import Image
from worker.engines.tensors import Tensors
from worker.inference.image_decoding import ImageDecoding
from worker.inference.model_predictor import ModelPredictor, decoded
from worker.inference.tensor_model import Parts, TensorModel, image_rows
from worker.system.loop_threads import LoopThreads
from worker.telemetry.metrics import WorkerMetrics

BLOCKS_AT_A_TIME = 4
"""So many blocks of one request wait at a time: one runs, one is ready for the engine, and others may come between."""

ROOM_IN_BATCHES = 8
"""The queue has room for at least so many full batches of rows."""


class TensorPredictor(ModelPredictor):
    """A model of tensors with a batcher before it, and decoding threads if it takes images."""

    model: TensorModel

    def __init__(
        self, model: TensorModel, batcher: Batcher, *, decoding: LoopThreads, deadline_s: float, numbers: WorkerMetrics
    ) -> None:
        super().__init__(model, batcher, deadline_s=deadline_s, numbers=numbers)
        self._decoding = ImageDecoding(decoding, model.decode)

    @classmethod
    def over(
        cls,
        model: TensorModel,
        pace: Pace,
        *,
        decoding: LoopThreads,
        queue_most: int,
        deadline_s: float,
        numbers: WorkerMetrics,
        scheduler: CoreScheduler | None = None,
    ) -> TensorPredictor:
        """A predictor whose queue has room for `queue_most` rows, and for several full batches."""
        batcher = Batcher(
            cast("Predict", model.predict),  # what waits are blocks of rows, which the batcher only counts and hands on
            pace=pace,
            queue_most=max(queue_most, ROOM_IN_BATCHES * pace.cap),
            numbers=numbers.model(model.name),
            scheduler=scheduler,
        )
        return cls(model, batcher, decoding=decoding, deadline_s=deadline_s, numbers=numbers)

    @property
    def moving(self) -> bool:
        """Whether images get decoded, and predictions done. From any thread."""
        return self._decoding.moving and super().moving

    async def predict(self, rows: Tensors, *, deadline_s: float, permission: Permission = UNLIMITED) -> Parts:
        """The outputs of all rows, in order; raises a WorkerError if any of them has none."""
        cap = self.batcher.pace.cap
        blocks = [rows.part(at, min(at + cap, rows.rows)) for at in range(0, rows.rows, cap)]
        return await self._outputs(blocks, deadline_s=deadline_s, permission=permission)

    async def predict_encoded(
        self, encoded: Sequence[bytes], *, deadline_s: float, permission: Permission = UNLIMITED
    ) -> Parts:
        """The outputs of each encoded image, in order, of a model that takes images."""
        _hold_places(permission, len(encoded))
        caller = permission.caller
        nbytes = sum(map(len, encoded))
        with self.batcher.decoding(len(encoded), nbytes=nbytes, deadline_s=deadline_s, caller=caller):
            images = await decoded(encoded, self._decoding, self.numbers, deadline_s=deadline_s)
        return await self._in_windows(image_rows(images), deadline_s=deadline_s, caller=caller, admitted=True)

    async def predict_pixels(
        self, images: Sequence[Image], *, deadline_s: float, permission: Permission = UNLIMITED
    ) -> Parts:
        """The outputs of each decoded image, in order, of a model that takes images."""
        return await self._outputs(image_rows(images), deadline_s=deadline_s, permission=permission)

    async def _outputs(self, blocks: Sequence[Tensors], *, deadline_s: float, permission: Permission) -> Parts:
        """The outputs of blocks that come as they are; each takes one of its caller's places."""
        _hold_places(permission, len(blocks))
        return await self._in_windows(blocks, deadline_s=deadline_s, caller=permission.caller, admitted=False)

    async def _in_windows(self, blocks: Sequence[Tensors], *, deadline_s: float, caller: str, admitted: bool) -> Parts:
        """The outputs of the blocks, a few of which wait at a time."""
        parts: list[Tensors] = []
        for at in range(0, len(blocks), BLOCKS_AT_A_TIME):
            some = blocks[at : at + BLOCKS_AT_A_TIME]
            found = await self.batcher.submit_all(
                cast("Sequence[Image]", some),
                deadline_s=deadline_s,
                admitted=admitted or at > 0,
                caller=caller,
                rows=[block.rows for block in some],
            )
            parts += [part for own in cast("Sequence[Parts]", found) for part in own]
        return parts


def _hold_places(permission: Permission, count: int) -> None:
    """Count blocks or images among the caller's places. Raises OverQuota."""
    if permission.places is not None:
        permission.places.hold(count)
