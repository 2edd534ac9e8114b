"""What the predictors of every kind of model share: deadlines, admission, metrics, and whether predictions get done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Self

from registry.security.permission import UNLIMITED, Permission
from worker.batching.batcher import Batcher
from worker.batching.queue import Image
from worker.errors import DeadlinePassed
from worker.inference.image_decoding import ImageDecoding
from worker.inference.load_model import AnyModel
from worker.telemetry.metrics import ModelMetrics, WorkerMetrics


class ModelPredictor:
    """A model with a batcher before it; use as an async context manager."""

    def __init__(self, model: AnyModel, batcher: Batcher, *, deadline_s: float, numbers: WorkerMetrics) -> None:
        self.model = model
        self.batcher = batcher
        self.numbers = numbers.model(model.name)
        self._deadline_s = deadline_s
        self._entered = ExitStack()

    async def __aenter__(self) -> Self:
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
        trouble = {} if self.model.trouble is None else {"trouble": self.model.trouble}
        return described | caps | trouble | {"queue": self.batcher.depth, "running": self.batcher.running}

    @property
    def moving(self) -> bool:
        """Whether predictions get done. From any thread."""
        return self.batcher.moving

    def deadline_s(self, timeout_s: float | None) -> float:
        """The monotonic time by which a request that arrives now must be answered."""
        return time.monotonic() + min(self._deadline_s, timeout_s if timeout_s is not None else self._deadline_s)

    def receiving(self, *, deadline_s: float, permission: Permission = UNLIMITED) -> AbstractContextManager[object]:
        """A context around reading a request's body. Raises Busy, before a byte of it is read."""
        self.batcher.admit(deadline_s=deadline_s, caller=permission.caller)
        return _Receiving(self.batcher.coming(), self.numbers.stage("receive"))


async def decoded(
    encoded: Sequence[bytes], decoding: ImageDecoding, numbers: ModelMetrics, *, deadline_s: float
) -> list[Image]:
    """The decoded images; counts those that are late and those whose client is gone."""
    try:
        with numbers.stage("decode"):
            return await decoding.decode_all(encoded, deadline_s=deadline_s)
    except DeadlinePassed:
        numbers.rejected("expired", len(encoded))
        raise
    except asyncio.CancelledError:
        numbers.rejected("gone", len(encoded))
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
