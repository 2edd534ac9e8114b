"""What a worker counts, as Prometheus text: requests, stages, batches, refusals, and the process itself.

Looking a labelled metric up costs more than counting it, so that is done once a model and once a kind of answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, get_args

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from worker.telemetry.histogram import Histogram, Histograms
from worker.web.request_labels import Counted

Stage = Literal["receive", "decode", "queue", "predict", "encode"]
Reason = Literal["queue", "memory", "deadline", "expired", "gone"]

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Numbers:
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
        self.by_model = _ByModel(registry)
        self._models: dict[str, ModelNumbers] = {}
        self._answered: dict[tuple[Counted, int], tuple[Counter, Histogram]] = {}

    def model(self, name: str) -> ModelNumbers:
        """The metrics of one model, whatever its version."""
        if name not in self._models:
            self._models[name] = ModelNumbers(self.by_model, name)
        return self._models[name]

    def answered(self, of: Counted, *, status: int, took_s: float) -> None:
        """Count one request, from its headers to its answer."""
        key = (of, status)
        known = self._answered.get(key)
        if known is None:
            known = (self._requests.labels(*of, status), self._request_s.labels(*of))
            self._answered[key] = known
        requests, seconds = known
        requests.inc()
        seconds.observe(took_s)

    async def handle(self, _: web.Request) -> web.Response:
        """`GET /metrics`."""
        text = generate_latest(self._registry)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


class _ByModel:
    """The metrics that carry a model's name."""

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


class ModelNumbers:
    """One model's share of the metrics, looked up once."""

    def __init__(self, by_model: _ByModel, name: str) -> None:
        self._by_model = by_model
        self._name = name
        self._stages = {stage: by_model.stage_s.labels(name, stage) for stage in get_args(Stage)}
        self._rejected = {reason: by_model.rejected.labels(name, reason) for reason in get_args(Reason)}
        self._batch_size = by_model.batch_size.labels(name)
        self._watched: list[tuple[Callable[[], float], Callable[[], float]]] = []
        self._loaded: list[tuple[str, str]] = []
        by_model.depth.labels(name).set_function(lambda: sum(depth() for depth, _ in self._watched))
        by_model.held_bytes.labels(name).set_function(lambda: sum(held() for _, held in self._watched))

    def stage(self, stage: Stage) -> AbstractContextManager[object]:
        """Around one stage, to measure it."""
        return _Timing(self._stages[stage])

    def took(self, stage: Stage, seconds: float) -> None:
        """One stage was measured."""
        self._stages[stage].observe(seconds)

    def rejected(self, reason: Reason, images: int = 1) -> None:
        """So many images get no prediction."""
        self._rejected[reason].inc(images)

    def batch(self, images: int, *, took_s: float) -> None:
        """One batch was predicted."""
        self._batch_size.observe(images)
        self._stages["predict"].observe(took_s)

    @contextmanager
    def serving(
        self, *, version: str, engine: str, depth: Callable[[], float], held_bytes: Callable[[], float]
    ) -> Iterator[None]:
        """While one version is loaded; its queue is asked for its depth, in images, whenever somebody asks."""
        watched, loaded = (depth, held_bytes), (version, engine)
        self._watched.append(watched)
        self._loaded.append(loaded)
        self._by_model.info.labels(self._name, *loaded).set(1)
        try:
            yield
        finally:
            self._watched.remove(watched)
            self._loaded.remove(loaded)
            if loaded not in self._loaded:  # it may have been loaded anew before it was let go
                self._by_model.info.remove(self._name, *loaded)


class _Timing(AbstractContextManager[object]):
    """Seconds of a block, into a histogram; a third of the cost of a generator's."""

    __slots__ = ("_histogram", "_since_s")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram

    def __enter__(self) -> None:
        self._since_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._histogram.observe(time.monotonic() - self._since_s)
