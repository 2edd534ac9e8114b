# /// script
# dependencies = ["litserve==0.2.19", "python-multipart==0.0.34"]
# [tool.rival]
# name = "LitServe"
# best = ["-m", "benchmarks.rivals.litserve_worker", "{port}"]
# path = "/predict"
# body = '{"image_data": "BASE64"}'
# ///
"""LitServe, with the image in base64 as its guide "Speed up serving by 200x" sends it.

Table (b) is that guide's first server: no batching. Table (a) follows the guide: a batch size, a batch timeout, and a
decoding pool in `batch`. A timeout of 0 spins on an empty queue, which would take a core from everybody.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import litserve

from benchmarks.rivals.model import Pixels, best_setup, classify, load


class One(litserve.LitAPI):
    """One image a prediction."""

    def setup(self, device: str) -> None:
        self._model = load()

    def decode_request(self, request):  # type: ignore[no-untyped-def] # with a type LitServe takes no JSON
        return self._model.decode(base64.b64decode(request["image_data"]))

    def predict(self, x: Any) -> Any:
        return classify(self._model, [x])[0]

    def encode_response(self, output: Any) -> Any:
        return output


class Many(One):
    """A batch a prediction, decoded by two threads."""

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
    api = Many(max_batch_size=8, batch_timeout=0.002) if best_setup() else One()
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
