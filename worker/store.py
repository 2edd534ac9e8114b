"""One model's versions: which are loaded, and which of them answers what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

from worker.errors import NotFound
from worker.metrics import Numbers
from worker.model import load
from worker.predictor import Predictor
from worker.settings import WorkerSettings
from worker.warmup import measure_pace

State = Literal["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
"""A version's life, in the words of TensorFlow Serving."""


@dataclass(frozen=True)
class VersionStatus:
    """How one version of a model is: its state, and `error`, a sentence, where loading it failed."""

    version: str
    state: State
    error: str = ""


class Store:
    """The versions of the model called `name`; use as an async context manager: it is loaded and warm on entry.

    `decoding` is the pool that all models of a worker decode in. Entering raises ModelError.
    """

    def __init__(self, settings: WorkerSettings, *, decoding: Executor, numbers: Numbers) -> None:
        self.name = settings.service
        self._settings = settings
        self._decoding = decoding
        self._numbers = numbers
        self._current: Predictor | None = None

    async def __aenter__(self) -> Store:
        self._current = await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._current is not None:
            await self._current.__aexit__()
            self._current.model.close()

    @property
    def current(self) -> Predictor:
        """The version that answers where none is named."""
        return self.find()

    def find(self, *, version: str | None = None, label: str | None = None) -> Predictor:
        """See `Models.find`."""
        current = self._current
        if current is None or version not in (None, current.model.version) or label is not None:
            asked = f"label {label!r}" if label is not None else f"version {version!r}"
            raise NotFound(f"The model {self.name} has no {asked}; it has {', '.join(self._versions)}.")
        return current

    def statuses(self) -> Sequence[VersionStatus]:
        """See `Models.statuses`."""
        return [VersionStatus(version, "AVAILABLE") for version in self._versions]

    @property
    def _versions(self) -> tuple[str, ...]:
        return (self._current.model.version,) if self._current else ()

    async def _open(self) -> Predictor:
        settings = self._settings
        model = await asyncio.to_thread(load, settings.source, name=self.name)
        try:
            pace = await asyncio.to_thread(measure_pace, model)
            predictor = Predictor.over(
                model,
                pace,
                decoding=self._decoding,
                queue_most=settings.queue_most,
                deadline_s=settings.deadline_s,
                numbers=self._numbers,
            )
            return await predictor.__aenter__()
        except BaseException:
            model.close()
            raise
