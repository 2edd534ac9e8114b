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
# ///
"""Mosec, in stages of processes as its ResNet example has them: two decode, one predicts in batches.

Table (b) is that example's way without batches: one process decodes and predicts one image at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mosec import Server, Worker

from benchmarks.rivals.model import Pixels, best_setup, classify, load


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
    if best_setup():
        server.append_worker(Decode, num=2)
        server.append_worker(Predict, max_batch_size=8, max_wait_time=1)
    else:
        server.append_worker(Both)
    server.run()
