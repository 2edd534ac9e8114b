# /// script
# dependencies = ["mosec==0.9.8"]
# [tool.rival]
# name = "Mosec"
# best = [
#     "-m", "benchmarks.rivals.mosec_worker", "--address", "127.0.0.1", "--port", "{port}",
#     "--log-level", "warning", "--timeout", "60000",
# ]
# path = "/inference"
# body = "raw"
# settings = { batch = 4, wait_ms = 1, decoders = 2, predictors = 2, threads = 1 }
# alone = { batch = 1, wait_ms = 1, decoders = 0, predictors = 1, threads = 0 }
# variants = [
#     { batch = 8, wait_ms = 1, decoders = 2, predictors = 1, threads = 0 },
#     { batch = 4, wait_ms = 1, decoders = 2, predictors = 1, threads = 0 },
#     { batch = 16, wait_ms = 5, decoders = 2, predictors = 1, threads = 0 },
#     { batch = 8, wait_ms = 1, decoders = 1, predictors = 1, threads = 0 },
#     { batch = 2, wait_ms = 1, decoders = 2, predictors = 2, threads = 1 },
#     { batch = 4, wait_ms = 1, decoders = 2, predictors = 2, threads = 1 },
#     { batch = 1, wait_ms = 1, decoders = 0, predictors = 2, threads = 1 },
#     { batch = 1, wait_ms = 1, decoders = 0, predictors = 1, threads = 0 },
# ]
# ///
"""Mosec, in stages of processes as in its ResNet example: some decode, others predict in batches.

Table (b) is that example's way without batches: one process decodes and predicts one image at a time; table (a) has
several of these where `decoders` is 0. A wait of 0 would mean its default of 10 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mosec import Server, Worker

from benchmarks.rivals.model import Pixels, best_setup, classify, load, setting


class Decode(Worker):
    """Encoded image -> pixels."""

    def __init__(self) -> None:
        super().__init__()
        self._model = load()

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> Pixels:
        return self._model.decode(data)


class Predict(Worker):
    """A batch of pixels -> labels."""

    def __init__(self) -> None:
        super().__init__()
        self._model = load()

    def forward(self, data: Sequence[Pixels]) -> list[Any]:
        return classify(self._model, data)


class Both(Decode):
    """Encoded image -> labels."""

    def forward(self, data: bytes) -> Any:
        return classify(self._model, [self._model.decode(data)])[0]


if __name__ == "__main__":
    server = Server()
    if best_setup() and setting("decoders"):
        server.append_worker(Decode, num=setting("decoders"))
        several = {"max_batch_size": setting("batch"), "max_wait_time": setting("wait_ms")}
        server.append_worker(Predict, num=setting("predictors"), **several)
    else:
        server.append_worker(Both, num=setting("predictors") if best_setup() else 1)
    server.run()
