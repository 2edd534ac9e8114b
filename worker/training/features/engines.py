"""Decoded photos -> features: by one engine that uses all cores or, for many photos, by one engine per core.

The threads of one engine wait for each other at the end of each layer: engines of one thread take a quarter less
processor time per photo. Each compiles the network for itself, which costs as much as some dozens of photos.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from worker.artifacts.source import ModelSource
from worker.engines.base import Engine
from worker.engines.frameworks import FRAMEWORKS
from worker.system.cpu import usable_cores
from worker.training.features.network import Network

MOST_ENGINES = 8
"""On more cores than this one engine uses all of them: each engine has the network in memory once more."""

LEAST_PHOTOS = 100
"""Photos for each engine from which on several engines are worth their compiling."""

R = TypeVar("R")


def engines_for(photos: int, cores: int) -> int:
    """How many engines compute the features of so many photos."""
    return cores if 1 < cores <= MOST_ENGINES and photos >= LEAST_PHOTOS * cores else 1


class FeatureEngines:
    """Engines of one network for about so many `photos`; each is loaded by the thread that uses it."""

    def __init__(self, network: Network, photos: int) -> None:
        self._source = ModelSource(graph=network.graph, input_layer="images", output_layer=network.output)
        self._framework = FRAMEWORKS["openvino"] if FRAMEWORKS["openvino"].installed else FRAMEWORKS["tensorflow"]
        # TensorFlow's threads belong to the process.
        self.count = engines_for(photos, usable_cores()) if self._framework.name == "openvino" else 1
        self._threads = ThreadPoolExecutor(self.count, thread_name_prefix="features")
        self._own = threading.local()
        self._loaded: list[Engine] = []

    def computed(self, work: Callable[[Engine], R]) -> Future[R]:
        """What `work` returns, which a thread gives an engine of its own."""
        return self._threads.submit(lambda: work(self._engine()))

    def close(self) -> None:
        """Wait for what is computed, and release the engines' memory."""
        self._threads.shutdown(cancel_futures=True)
        for engine in self._loaded:
            engine.close()

    def _engine(self) -> Engine:
        engine: Engine | None = getattr(self._own, "engine", None)
        if engine is None:
            threads = 1 if self.count > 1 else None
            engine = self._own.engine = self._framework.load(replace(self._source, threads=threads))
            self._loaded.append(engine)
        return engine
