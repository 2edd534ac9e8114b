"""What a worker serves under one name: the versions of a model, or a cascade."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from worker.artifacts.version_plan import Policy, VersionStatus
from worker.inference.image_predictor import ImagePredictor
from worker.inference.tensor_predictor import TensorPredictor

AnyPredictor = ImagePredictor | TensorPredictor
"""The predictor of a classifier of images, or of a model of tensors."""


class ServedModel(Protocol):
    """One name that a worker answers for; `policy` says which of its versions are loaded."""

    name: str
    policy: Policy

    async def load(self) -> None:
        """Make it ready to answer. Raises ModelError."""
        ...

    @property
    def current(self) -> AnyPredictor:
        """The default version's predictor. Raises Busy before it is loaded."""
        ...

    @property
    def loaded(self) -> Mapping[str, AnyPredictor]:
        """The predictors that serve, by version, the highest first."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """The version that each label means now."""
        ...

    @property
    def moving(self) -> bool:
        """Whether every version gets its predictions done. From any thread."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why some version cannot predict at the moment, as a sentence; None if all can. From any thread."""
        ...

    @property
    def fit(self) -> bool:
        """Whether requests should come here. From any thread."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether some version's queue is nearly full."""
        ...

    @property
    def next_change(self) -> asyncio.Event:
        """An event that is set when the set of serving versions changes."""
        ...

    def find(self, *, version: str | None = None, label: str | None = None) -> AnyPredictor:
        """See `ModelRepository.find`."""
        ...

    def statuses(self) -> Sequence[VersionStatus]:
        """See `ModelRepository.statuses`."""
        ...
