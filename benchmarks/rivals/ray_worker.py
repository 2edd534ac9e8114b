# /// script
# dependencies = ["ray[serve]==2.60.0"]
# [tool.rival]
# name = "Ray Serve"
# best = ["-m", "benchmarks.rivals.ray_worker", "{port}"]
# path = "/"
# body = "raw"
# ///
"""Ray Serve, the image as the request's raw body, as its PyTorch tutorial takes it.

Table (b) is that tutorial: one deployment, one image a prediction. Table (a): `serve.batch` with a short wait, decoding
in a pool of threads beside the event loop. One replica, since a second engine would fight for the same two cores.
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

from benchmarks.rivals.model import Pixels, best_setup, classify, load


@serve.deployment
class One:
    """One image a prediction."""

    def __init__(self) -> None:
        self._model = load()

    async def __call__(self, request: Request) -> Any:
        return classify(self._model, [self._model.decode(await request.body())])[0]


@serve.deployment(max_ongoing_requests=128)
class Many:
    """A batch a prediction; both decoding and predicting leave the event loop free."""

    def __init__(self) -> None:
        self._model = load()
        self._decoding = ThreadPoolExecutor(2)
        self._predicting = ThreadPoolExecutor(1)

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.002)
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
    ray.init(include_dashboard=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run((Many if best_setup() else One).bind())
    stop.wait()
    serve.shutdown()
    ray.shutdown()
