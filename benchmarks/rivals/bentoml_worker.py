# /// script
# dependencies = ["bentoml==1.4.39"]
# [tool.rival]
# name = "BentoML"
# best = ["-m", "bentoml", "serve", "benchmarks.rivals.bentoml_worker:Many", "--port", "{port}"]
# quickstart = ["-m", "bentoml", "serve", "benchmarks.rivals.bentoml_worker:One", "--port", "{port}"]
# path = "/classify"
# body = "multipart image"
# settings = { batch = 8, workers = 2, threads = 1 }
# alone = { batch = 16, workers = 1, threads = 0 }
# variants = [
#     { batch = 8, workers = 1, threads = 0 },
#     { batch = 4, workers = 1, threads = 0 },
#     { batch = 16, workers = 1, threads = 0 },
#     { batch = 2, workers = 2, threads = 1 },
#     { batch = 4, workers = 2, threads = 1 },
#     { batch = 8, workers = 2, threads = 1 },
# ]
# ///
"""BentoML; the image is a file of a form.

Table (b): one API, one image per prediction. Table (a): adaptive batching, in one or several worker processes. How long
a batch waits is learned by BentoML and cannot be set; `max_latency_ms` only says when it gives up.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bentoml

from benchmarks.rivals.model import classify, load, setting


@bentoml.service
class One:
    """One image per prediction."""

    def __init__(self) -> None:
        self._model = load()

    @bentoml.api
    def classify(self, image: Path) -> list[Any]:
        return classify(self._model, [self._model.decode(image.read_bytes())])[0]


@bentoml.service(workers=setting("workers"), traffic={"timeout": 60})
class Many:
    """A batch per prediction."""

    def __init__(self) -> None:
        self._model = load()
        self._threads = ThreadPoolExecutor(2)

    @bentoml.api(batchable=True, max_batch_size=setting("batch"), max_latency_ms=60000)
    def classify(self, image: list[Path]) -> list[Any]:
        images = list(self._threads.map(lambda file: self._model.decode(file.read_bytes()), image))
        return classify(self._model, images)
