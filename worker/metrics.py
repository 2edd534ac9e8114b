"""What a worker counts, as Prometheus text: requests, stages, batches, refusals."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Numbers:
    """The metrics of one worker process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "p2p_worker_requests", "Requests answered, by status.", ["status"], registry=self._registry
        )
        self.rejected = Counter(
            "p2p_worker_rejected",
            "Images that got no prediction, by reason.",
            ["reason"],
            registry=self._registry,
        )
        self.stage_s = Histogram(
            "p2p_worker_stage_seconds",
            "Seconds in each stage of a request.",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=self._registry,
        )
        self.batch_size = Histogram(
            "p2p_worker_batch_size", "Images in a batch.", buckets=_BATCH_BUCKETS, registry=self._registry
        )
        self.in_flight = Gauge(
            "p2p_worker_requests_in_flight", "Requests being received or answered.", registry=self._registry
        )
        self._depth = Gauge("p2p_worker_queue_depth", "Images that wait.", registry=self._registry)

    def watch_depth(self, depth: Callable[[], float]) -> None:
        """Take the queue's depth from where it is, whenever it is asked for."""
        self._depth.set_function(depth)

    async def handle(self, _: web.Request) -> web.Response:
        """`GET /metrics`."""
        text = generate_latest(self._registry)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
