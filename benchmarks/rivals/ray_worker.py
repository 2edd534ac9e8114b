# /// script
# dependencies = ["ray[serve]==2.60.0"]
# [tool.rival]
# name = "Ray Serve"
# best = ["-m", "benchmarks.rivals.ray_worker", "{port}"]
# path = "/"
# body = "raw"
# settings = { batch = 8, wait_ms = 2, replicas = 1, threads = 0 }
# alone = { batch = 8, wait_ms = 2, replicas = 1, threads = 0 }
# variants = [
#     { batch = 8, wait_ms = 2, replicas = 1, threads = 0 },
#     { batch = 4, wait_ms = 0, replicas = 1, threads = 0 },
#     { batch = 16, wait_ms = 5, replicas = 1, threads = 0 },
#     { batch = 1, wait_ms = 0, replicas = 2, threads = 1 },
#     { batch = 4, wait_ms = 0, replicas = 2, threads = 1 },
# ]
# ///
"""Ray Serve; the image is the request's raw body, as in its PyTorch tutorial.

Table (b) is that tutorial: one deployment, one image per prediction. Table (a): `serve.batch`, decoding in a pool of
threads beside the event loop, in one or several replicas.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.rivals.model import Pixels, best_setup, classify, load, setting


@serve.deployment
class One:
    """One image per prediction."""

    def __init__(self) -> None:
        self._model = load()

    async def __call__(self, request: Request) -> Any:
        return classify(self._model, [self._model.decode(await request.body())])[0]


@serve.deployment(max_ongoing_requests=128, num_replicas=setting("replicas"))
class Many:
    """A batch per prediction; both decoding and predicting leave the event loop free."""

    def __init__(self) -> None:
        self._model = load()
        self._decoding = ThreadPoolExecutor(2)
        self._predicting = ThreadPoolExecutor(1)

    @serve.batch(max_batch_size=setting("batch"), batch_wait_timeout_s=setting("wait_ms") / 1000)
    async def _classify(self, images: list[Pixels]) -> list[Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._predicting, classify, self._model, images)

    async def __call__(self, request: Request) -> Any:
        loop = asyncio.get_running_loop()
        data = await request.body()
        return await self._classify(await loop.run_in_executor(self._decoding, self._model.decode, data))


if __name__ == "__main__":
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ray.init(address="local", include_dashboard=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run((Many if best_setup() else One).bind())
    stop.wait()
    serve.shutdown()
    ray.shutdown()
