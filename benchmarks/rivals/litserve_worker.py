# /// script
# dependencies = ["litserve==0.2.19", "python-multipart==0.0.34"]
# [tool.rival]
# name = "LitServe"
# best = ["-m", "benchmarks.rivals.litserve_worker", "{port}"]
# path = "/predict"
# body = '{"image_data": "BASE64"}'
# settings = { batch = 8, wait_ms = 2, workers = 1, zmq = 1, threads = 0 }
# alone = { batch = 8, wait_ms = 0, workers = 1, zmq = 0, threads = 0 }
# variants = [
#     { batch = 8, wait_ms = 2, workers = 1, zmq = 0, threads = 0 },
#     { batch = 4, wait_ms = 2, workers = 1, zmq = 0, threads = 0 },
#     { batch = 16, wait_ms = 5, workers = 1, zmq = 0, threads = 0 },
#     { batch = 8, wait_ms = 0, workers = 1, zmq = 0, threads = 0 },
#     { batch = 8, wait_ms = 2, workers = 1, zmq = 1, threads = 0 },
#     { batch = 1, wait_ms = 0, workers = 2, zmq = 0, threads = 1 },
#     { batch = 4, wait_ms = 2, workers = 2, zmq = 0, threads = 1 },
#     { batch = 1, wait_ms = 0, workers = 2, zmq = 1, threads = 1 },
# ]
# ///
"""LitServe; the image is in base64, as its guide "Speed up serving by 200x" sends it.

Table (b) is that guide's first server: no batching. Table (a) follows the guide: a batch size, a batch timeout, a
decoding pool in `batch`, workers per device, and the queue over ZeroMQ (`fast_queue`). With a batch timeout of 0 it
spins on an empty queue.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import litserve

from benchmarks.rivals.model import Pixels, best_setup, classify, load, setting


class One(litserve.LitAPI):
    """One image per prediction."""

    def setup(self, device: str) -> None:
        self._model = load()

    def decode_request(self, request):  # type: ignore[no-untyped-def] # with a type LitServe takes no JSON
        return self._model.decode(base64.b64decode(request["image_data"]))

    def predict(self, x: Any) -> Any:
        return classify(self._model, [x])[0]

    def encode_response(self, output: Any) -> Any:
        return output


class Many(One):
    """A batch per prediction, decoded by two threads."""

    def setup(self, device: str) -> None:
        super().setup(device)
        self._threads = ThreadPoolExecutor(2)

    def decode_request(self, request):  # type: ignore[no-untyped-def] # as above
        return base64.b64decode(request["image_data"])

    def batch(self, inputs: Sequence[bytes]) -> list[Pixels]:
        return list(self._threads.map(self._model.decode, inputs))

    def predict(self, x: Any) -> Any:
        return classify(self._model, x)

    def unbatch(self, output: Any) -> Any:
        return output


if __name__ == "__main__":
    api: litserve.LitAPI = One()
    options: dict[str, Any] = {}
    if best_setup():
        options = {"workers_per_device": setting("workers"), "fast_queue": bool(setting("zmq"))}
        if setting("batch") > 1:
            api = Many(max_batch_size=setting("batch"), batch_timeout=setting("wait_ms") / 1000)
    server = litserve.LitServer(api, accelerator="cpu", **options)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
