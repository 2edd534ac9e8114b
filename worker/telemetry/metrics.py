"""The metrics of a worker as Prometheus text: requests, stages, batches, refusals, and the process itself.

Looking up a labelled metric costs more than incrementing it, so it is done once per model and once per kind of
response.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)

from registry.runtime.exposition import exposition
from registry.runtime.tasks.count import unfinished_tasks
from registry.runtime.tracing.current import current_trace
from worker.telemetry.histogram import Histogram, Histograms
from worker.telemetry.request_labels import RequestLabels
from worker.telemetry.request_stages import current_stages
from worker.telemetry.shadow import ShadowMetrics

Stage = Literal["receive", "decode", "queue", "predict", "encode"]
Reason = Literal["queue", "memory", "deadline", "expired", "gone"]

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class WorkerMetrics:
    """The metrics of one worker process."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self._requests = Counter(
            "p2p_worker_requests", "Requests answered.", ["model", "protocol", "status"], registry=registry
        )
        self._request_s = Histograms(
            "p2p_worker_request_duration_seconds",
            "Seconds from a request's headers to its answer.",
            ["model", "protocol"],
            bounds=_BUCKETS_S,
            registry=registry,
        )
        self.in_flight = 0
        Gauge("p2p_worker_requests_in_flight", "Requests being received or answered.", registry=registry).set_function(
            lambda: self.in_flight
        )
        Gauge(
            "p2p_worker_tasks",
            "Tasks of the event loop that have not ended; more and more of them are a leak.",
            registry=registry,
        ).set_function(unfinished_tasks)
        self.shadow = ShadowMetrics(registry, seconds=_BUCKETS_S)
        self._families = _ModelFamilies(registry)
        self._models: dict[str, ModelMetrics] = {}
        self._by_response: dict[tuple[RequestLabels, int], tuple[Counter, Histogram]] = {}

    def model(self, name: str) -> ModelMetrics:
        """The metrics of one model, whatever its version."""
        if name not in self._models:
            self._models[name] = ModelMetrics(self._families, self.shadow, name)
        return self._models[name]

    def cascade(self, name: str) -> CascadeMetrics:
        """The metrics of a cascade's steps; a worker has one cascade at most for each of its names."""
        return CascadeMetrics(self._registry, name)

    def answered(self, labels: RequestLabels, *, status: int, took_s: float) -> None:
        """Count one request that was answered with `status`, `took_s` after its headers had come."""
        key = (labels, status)
        known = self._by_response.get(key)
        if known is None:
            known = (self._requests.labels(*labels, status), self._request_s.labels(*labels))
            self._by_response[key] = known
        requests, seconds = known
        requests.inc()
        seconds.observe(took_s)
        trace = current_trace.get()
        if trace is not None:
            seconds.exemplify(took_s, trace.trace_id)

    def watch_certificate(self, expires_at_s: Callable[[], float]) -> None:
        """Say at each scrape when the certificate in use ends, in seconds since 1970."""
        Gauge(
            "p2p_certificate_expiry_timestamp_seconds",
            "When the certificate in use ends, in seconds since 1970.",
            registry=self._registry,
        ).set_function(expires_at_s)

    def text(self, *, openmetrics: bool = False) -> bytes:
        """All metrics in Prometheus's text format 0.0.4, or as OpenMetrics, where traces are exemplars."""
        return exposition(self._registry, openmetrics=openmetrics)


class _ModelFamilies:
    """The metric families that have a label for the model."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rejected = Counter(
            "p2p_worker_rejected", "Images that got no prediction.", ["model", "reason"], registry=registry
        )
        self.stage_s = Histograms(
            "p2p_worker_stage_seconds",
            "Seconds in each stage: of a request, but queue of an image and predict of a batch.",
            ["model", "stage"],
            bounds=_BUCKETS_S,
            registry=registry,
        )
        self.batch_size = Histograms(
            "p2p_worker_batch_size", "Images in a batch.", ["model"], bounds=_BATCH_BUCKETS, registry=registry
        )
        self.depth = Gauge(
            "p2p_worker_queue_depth", "Images that wait, encoded or decoded.", ["model"], registry=registry
        )
        self.held_bytes = Gauge(
            "p2p_worker_queue_bytes", "Memory of the images that wait or run.", ["model"], registry=registry
        )
        self.info = Gauge(
            "p2p_worker_model_info", "1 for each version loaded.", ["model", "version", "engine"], registry=registry
        )


class ModelMetrics:
    """The metrics of one model, whatever its version; each is looked up once."""

    def __init__(self, families: _ModelFamilies, shadow: ShadowMetrics, name: str) -> None:
        self._families = families
        self._shadow = shadow
        self.name = name
        self._stages = {stage: families.stage_s.labels(name, stage) for stage in get_args(Stage)}
        self._rejected = {reason: families.rejected.labels(name, reason) for reason in get_args(Reason)}
        self._batch_size = families.batch_size.labels(name)
        self._watched: list[tuple[Callable[[], float], Callable[[], float]]] = []
        self._loaded: list[tuple[str, str]] = []
        families.depth.labels(name).set_function(lambda: sum(depth() for depth, _ in self._watched))
        families.held_bytes.labels(name).set_function(lambda: sum(held() for _, held in self._watched))

    def stage(self, stage: Stage) -> AbstractContextManager[object]:
        """A context that measures how long its block, one stage, takes."""
        return _StageTimer(self._stages[stage], stage)

    def took(self, stage: Stage, seconds: float) -> None:
        """Record that one stage took so many seconds."""
        self._stages[stage].observe(seconds)

    def rejected(self, reason: Reason, images: int = 1) -> None:
        """Count images that get no prediction."""
        self._rejected[reason].inc(images)

    def compare_shadow(self, header: str, label: str, score: float) -> None:
        """Compare the best label of a copy's image with that of the caller, which its header holds."""
        self._shadow.compare(self.name, header, label, score)

    def batch(self, images: int, *, took_s: float) -> None:
        """Record that a batch of so many images was predicted."""
        self._batch_size.observe(images)
        self._stages["predict"].observe(took_s)

    @contextmanager
    def serving(
        self, *, version: str, engine: str, depth: Callable[[], float], held_bytes: Callable[[], float]
    ) -> Iterator[None]:
        """A context for the time during which one version is loaded.

        Each scrape asks its queue for its `depth`, in images, and for the memory that its images hold.
        """
        watched, loaded = (depth, held_bytes), (version, engine)
        self._watched.append(watched)
        self._loaded.append(loaded)
        self._families.info.labels(self.name, *loaded).set(1)
        try:
            yield
        finally:
            self._watched.remove(watched)
            self._loaded.remove(loaded)
            if loaded not in self._loaded:  # the same version may have been loaded again before this one was closed
                self._families.info.remove(self.name, *loaded)


class CascadeMetrics:
    """How often each step of a cascade ran, was left out or failed, and how long it took."""

    def __init__(self, registry: CollectorRegistry, name: str) -> None:
        self._name = name
        self._steps = Counter(
            "p2p_worker_cascade_steps", "Steps, by what became of them.", ["model", "step", "status"], registry=registry
        )
        self._step_s = Histograms(
            "p2p_worker_cascade_step_seconds",
            "Seconds that a step took.",
            ["model", "step"],
            bounds=_BUCKETS_S,
            registry=registry,
        )

    def told(self, step: str, status: str, took_s: float) -> None:
        """Count one step of one image; `status` is ran, skipped or failed."""
        self._steps.labels(self._name, step, status).inc()
        if status != "skipped":
            self._step_s.labels(self._name, step).observe(took_s)


class _StageTimer(AbstractContextManager[object]):
    """Observes the seconds of its block; a third of the cost of a context manager made from a generator."""

    __slots__ = ("_histogram", "_since_s", "_stage")

    def __init__(self, histogram: Histogram, stage: Stage) -> None:
        self._histogram = histogram
        self._stage = stage

    def __enter__(self) -> None:
        self._since_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        ended_s = time.monotonic()
        self._histogram.observe(ended_s - self._since_s)
        stages = current_stages.get()
        if stages is not None:
            stages.note(self._stage, self._since_s, ended_s)
