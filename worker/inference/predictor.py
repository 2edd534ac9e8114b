"""The one path from an encoded image to its scores: a thread decodes it, it waits for a batch, the engine predicts.

Every protocol calls it, so that limits, deadlines and metrics are the same for all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from registry.security.permission import UNLIMITED, Permission
from worker.batching.batcher import Batcher
from worker.batching.core_scheduler import CoreScheduler
from worker.batching.policy import Pace
from worker.batching.queue import Image, Scores
from worker.errors import DeadlinePassed
from worker.inference.image_decoding import ImageDecoding
from worker.inference.model import Model
from worker.system.loop_threads import LoopThreads
from worker.telemetry.metrics import WorkerMetrics


class Predictor:
    """A model with decoding threads and a batcher before it; use as an async context manager."""

    def __init__(
        self, model: Model, batcher: Batcher, *, decoding: LoopThreads, deadline_s: float, numbers: WorkerMetrics
    ) -> None:
        self.model = model
        self.batcher = batcher
        self.numbers = numbers.model(model.name)
        self._deadline_s = deadline_s
        self._decoding = ImageDecoding(decoding, model.decode)
        size = model.engine.input.size
        self._image_bytes = 3 * size.height * size.width if size else 0
        self._entered = ExitStack()

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
            ahead=engine.device != "cpu" and engine.input.size is not None,
        )
        return cls(model, batcher, decoding=decoding, deadline_s=deadline_s, numbers=numbers)

    async def __aenter__(self) -> Predictor:
        await self.batcher.__aenter__()
        self._entered.enter_context(
            self.numbers.serving(
                version=self.model.version,
                engine=self.model.engine.name,
                depth=lambda: self.batcher.depth,
                held_bytes=lambda: self.batcher.held_bytes,
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._entered.close()
        await self.batcher.__aexit__()

    def describe(self) -> dict[str, Any]:
        """See `ImagePredictor.describe`: its model, its batches, its queue."""
        described = {key: value for key, value in self.model.describe().items() if key not in ("name", "version")}
        streams = self.batcher.pace.streams
        caps = {"batch_cap": self.batcher.pace.cap, "streams": streams.count if streams else 1}
        return described | caps | {"queue": self.batcher.depth, "running": self.batcher.running}

    @property
    def moving(self) -> bool:
        """Whether images get decoded and predicted. From any thread."""
        return self._decoding.moving and self.batcher.moving

    def deadline_s(self, timeout_s: float | None) -> float:
        """The monotonic time by which a request that arrives now must be answered."""
        return time.monotonic() + min(self._deadline_s, timeout_s if timeout_s is not None else self._deadline_s)

    def receiving(self, *, deadline_s: float, permission: Permission = UNLIMITED) -> AbstractContextManager[object]:
        """A context around reading a request's body. Raises Busy, before a byte of it is read."""
        self.batcher.admit(deadline_s=deadline_s, caller=permission.caller)
        return _Receiving(self.batcher.coming(), self.numbers.stage("receive"))

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
        with self.batcher.decoding(len(encoded), nbytes=nbytes, deadline_s=deadline_s, caller=caller):
            images = await self._decode(encoded, deadline_s)
        return await self.batcher.submit_all(images, deadline_s=deadline_s, admitted=True, caller=caller)

    async def predict_arrays(
        self, images: Sequence[Image], *, deadline_s: float, permission: Permission = UNLIMITED
    ) -> list[Scores]:
        """Scores [classes] of each decoded image, uint8 [height, width, 3] as `model.decode` gives them, in order."""
        if permission.places is not None:
            permission.places.hold(len(images))
        return await self.batcher.submit_all(images, deadline_s=deadline_s, caller=permission.caller)

    async def _decode(self, encoded: Sequence[bytes], deadline_s: float) -> list[Image]:
        """The decoded images; counts those that are late and those whose client is gone."""
        try:
            with self.numbers.stage("decode"):
                return await self._decoding.decode_all(encoded, deadline_s=deadline_s)
        except DeadlinePassed:
            self.numbers.rejected("expired", len(encoded))
            raise
        except asyncio.CancelledError:
            self.numbers.rejected("gone", len(encoded))
            raise


class _Receiving(AbstractContextManager[object]):
    """Counts and times the reading of a request's body; a class, because a generator costs each request more."""

    __slots__ = ("_coming", "_timing")

    def __init__(self, coming: AbstractContextManager[object], timing: AbstractContextManager[object]) -> None:
        self._coming = coming
        self._timing = timing

    def __enter__(self) -> None:
        self._coming.__enter__()
        self._timing.__enter__()

    def __exit__(self, *_: object) -> None:
        self._timing.__exit__(None, None, None)
        self._coming.__exit__(None, None, None)
