"""A cascade's file -> a served model: its models are loaded, its services asked once, and then it answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from p2pclient import AsyncClient
from worker.artifacts.version_plan import LATEST, LATEST_ONLY, STABLE, VersionStatus
from worker.batching.core_scheduler import CoreScheduler
from worker.cascade.crop import encoded
from worker.cascade.definition import Definition, Step
from worker.cascade.model_steps import CurrentModel, ModelDetector, ModelStep
from worker.cascade.parse import parse_cascade
from worker.cascade.predictor import VERSION, CascadePredictor, Limits
from worker.cascade.run import CascadeRun, sentence_of
from worker.cascade.schedule import Outcome
from worker.cascade.steps import BoxesStep, Detector, LabelsStep, ServiceDetector, StepRunner
from worker.engines.base import InputSpec
from worker.engines.sample_images import sample_images
from worker.errors import Busy, ModelError, NotFound, WorkerError
from worker.repository.loader import WorkerThreads
from worker.repository.model_versions import ModelVersions
from worker.repository.request_epochs import RequestEpochs
from worker.settings import CascadeSource, Served, WorkerSettings
from worker.telemetry.metrics import WorkerMetrics

if TYPE_CHECKING:
    from registry.runtime.tracing.server_spans import Tracing

logger = logging.getLogger(__name__)

FIRST_ANSWER_S = 30.0
"""How long each service may take to answer the sample image, when a cascade is loaded."""

SOON_S = 1.0
"""After how many seconds a client may ask again for a cascade that is being loaded."""


class ServedCascade:
    """A cascade in the place of a model's versions, of which it has one; an async context manager that closes it."""

    policy = LATEST_ONLY

    def __init__(
        self,
        source: CascadeSource,
        settings: WorkerSettings,
        *,
        threads: WorkerThreads,
        scheduler: CoreScheduler,
        numbers: WorkerMetrics,
        requests: RequestEpochs,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self.name = settings.service
        self._source = source
        self._settings = settings
        self._threads = threads
        self._scheduler = scheduler
        self._numbers = numbers
        self._requests = requests
        self._models: dict[str, ModelVersions] = {}
        self._predictor: CascadePredictor | None = None
        self._change = asyncio.Event()
        self._entered = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._entered.aclose()

    async def load(self) -> None:
        """Load the models of the steps, and ask each service once. Raises ModelError, which names the step."""
        text = await asyncio.to_thread(self._read)
        definition = parse_cascade(text, folder=self._source.path.parent, service=self.name)
        client = await self._entered.enter_async_context(self._client())
        runners = {step.name: await self._runner(step, client) for step in definition.steps}
        max_pixels = self._settings.source.max_pixels
        predictor = CascadePredictor(
            self.name,
            definition,
            CascadeRun(definition, runners, decoding=self._threads.decoding, max_pixels=max_pixels),
            Limits(self._settings.queue_most, self._settings.deadline_s, max_pixels),
            numbers=self._numbers.model(self.name),
            steps=self._numbers.cascade(self.name),
        )
        first = await self._first_answers(definition, runners)
        check_labels(definition, first)
        predictor.learn(first)
        self._predictor = predictor
        self._entered.enter_context(
            predictor.numbers.serving(
                version=VERSION, engine="cascade", depth=lambda: predictor.under_way, held_bytes=lambda: 0
            )
        )
        changed, self._change = self._change, asyncio.Event()
        changed.set()
        logger.info(
            "The cascade %s asks %s.",
            self.name,
            ", ".join(map(_asked, definition.steps)),
        )

    @property
    def current(self) -> CascadePredictor:
        """The cascade. Raises Busy before it is loaded."""
        return self.find()

    @property
    def loaded(self) -> Mapping[str, CascadePredictor]:
        """The cascade by its version, once it is loaded."""
        return {} if self._predictor is None else {VERSION: self._predictor}

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels that mean its version."""
        return dict.fromkeys((STABLE, LATEST), VERSION) if self._predictor else {}

    @property
    def moving(self) -> bool:
        """Whether the models of its steps get their predictions done. From any thread."""
        return all(model.moving for model in self._models.values())

    @property
    def trouble(self) -> str | None:
        """Why a model of its steps cannot predict at the moment, as a sentence. From any thread."""
        return next((model.trouble for model in self._models.values() if model.trouble), None)

    @property
    def fit(self) -> bool:
        """Whether requests should come here. From any thread."""
        return self.moving and self.trouble is None

    @property
    def crowded(self) -> bool:
        """Whether it, or a model of its steps, has nearly as many images under way as it may."""
        own = self._predictor is not None and self._predictor.crowded
        return own or any(model.crowded for model in self._models.values())

    @property
    def next_change(self) -> asyncio.Event:
        """An event that is set when the cascade is loaded."""
        return self._change

    def find(self, *, version: str | None = None, label: str | None = None) -> CascadePredictor:
        """See `ModelRepository.find`."""
        if self._predictor is None:
            raise Busy(f"The cascade {self.name} is being loaded: ask again soon.", retry_after_s=SOON_S)
        if version not in (None, VERSION) or label not in (None, STABLE, LATEST):
            raise NotFound(f"The cascade {self.name} has the version {VERSION} only; its steps have their own.")
        return self._predictor

    def statuses(self) -> Sequence[VersionStatus]:
        """See `ModelRepository.statuses`."""
        return [VersionStatus(VERSION, "LOADING" if self._predictor is None else "AVAILABLE")]

    def _read(self) -> str:
        try:
            return self._source.path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"The cascade {self._source.path} cannot be read: {error}.") from None

    def _client(self) -> AsyncClient:
        try:
            provider = None if self._tracing is None else self._tracing.provider
            return AsyncClient(self._source.registry, **self._source.client, tracer_provider=provider)
        except (ValueError, OSError) as error:
            raise ModelError(f"The steps of {self._source.path} cannot be asked: {error}.") from None

    async def _runner(self, step: Step, client: AsyncClient) -> StepRunner:
        """What asks the question of `step`; its model is loaded by then, and of the kind that the step needs."""
        if step.boxes is not None:
            detector: Detector = (
                ServiceDetector(step, step.boxes, client)
                if step.model is None
                else ModelDetector(step, step.boxes, await self._model(step, step.model))
            )
            max_pixels = self._settings.source.max_pixels
            return BoxesStep(step, step.boxes, detector, decoding=self._threads.decoding, max_pixels=max_pixels)
        if step.model is None:
            return LabelsStep(step, client)
        return ModelStep(step, await self._model(step, step.model))

    async def _model(self, step: Step, path: Path) -> CurrentModel:
        """The model of `step`, loaded."""
        versions = ModelVersions(
            Served(f"{self.name}.{step.name}", replace(self._settings.source, path=path)),
            self._settings,
            threads=self._threads,
            scheduler=self._scheduler,
            numbers=self._numbers,
            requests=self._requests,
        )
        self._models[step.name] = await self._entered.enter_async_context(versions)
        try:
            await versions.load()
        except ModelError as error:
            raise ModelError(sentence_of(step, error)) from None
        return versions.find

    async def _first_answers(self, definition: Definition, runners: Mapping[str, StepRunner]) -> dict[str, Outcome]:
        """What each step says of a picture made for the purpose: proof that all can be asked, and their labels."""
        image = await asyncio.to_thread(_sample)
        answers: dict[str, Outcome] = {}
        for step in definition.steps:
            try:
                answers[step.name] = await runners[step.name].run(image, deadline_s=time.monotonic() + FIRST_ANSWER_S)
            except WorkerError as error:
                raise ModelError(sentence_of(step, error)) from None
        return answers


def check_labels(definition: Definition, first: Mapping[str, Outcome]) -> None:
    """Raise ModelError for a label that a condition names and its step does not give."""
    for step in definition.steps:
        for condition in step.when:
            named = (condition.labels or frozenset()) | (condition.not_labels or frozenset())
            answered = first[condition.step]
            missing = sorted(named - set(answered.labels))
            if missing and answered.complete:
                raise ModelError(
                    f"Step {step.name}: when asks for the label {missing[0]}, which {condition.step} does not give; it "
                    f"gives {_some(answered.labels)}."
                )


def _sample() -> bytes:
    """A picture that every step can be asked about."""
    return encoded(sample_images(InputSpec(size=None), 1)[0])


def _asked(step: Step) -> str:
    return f"{step.name} ({step.service or step.model})"


def _some(names: Iterable[str], most: int = 10) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
