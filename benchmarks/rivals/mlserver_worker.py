# /// script
# dependencies = ["mlserver==1.7.1", "uvloop==0.21.0"]  # its worker processes ask uvloop 0.22 for a loop in vain
# [tool.rival]
# name = "MLServer"
# best = ["-m", "benchmarks.rivals.mlserver_worker", "{port}", "{port2}", "{port3}"]
# path = "/v2/models/classify/infer"
# body = '''{"inputs": [{
#     "name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"}, "data": ["BASE64"]
# }]}'''
# settings = { batch = 4, wait_ms = 2, workers = 2, threads = 1 }
# alone = { batch = 8, wait_ms = 2, workers = 0, threads = 0 }
# variants = [
#     { batch = 8, wait_ms = 2, workers = 0, threads = 0 },
#     { batch = 4, wait_ms = 2, workers = 0, threads = 0 },
#     { batch = 16, wait_ms = 5, workers = 0, threads = 0 },
#     { batch = 8, wait_ms = 1, workers = 0, threads = 0 },
#     { batch = 0, wait_ms = 0, workers = 0, threads = 0 },
#     { batch = 0, wait_ms = 0, workers = 2, threads = 1 },
#     { batch = 4, wait_ms = 2, workers = 2, threads = 1 },
# ]
# ///
"""MLServer with a custom runtime; the image is a BYTES tensor in base64, since its REST server takes no binary tensors.

Table (b) is the documentation's way: no adaptive batching, one worker process. Table (a): adaptive batching (none if
`batch` is 0), and predicting in the server's own process or in several workers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlserver import MLModel
from mlserver.cli.serve import load_settings
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.server import MLServer
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.rivals.model import best_setup, classify, load, setting


class Classify(MLModel):
    """A BYTES tensor of encoded images in, one JSON text per image out."""

    async def load(self) -> bool:
        self._model = load()
        self._decoding = ThreadPoolExecutor(2)
        self._predicting = ThreadPoolExecutor(1)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        encoded = Base64Codec.decode_input(payload.inputs[0])
        loop = asyncio.get_running_loop()
        decoding = [loop.run_in_executor(self._decoding, self._model.decode, data) for data in encoded]
        images = await asyncio.gather(*decoding)
        found = await loop.run_in_executor(self._predicting, classify, self._model, images)
        texts = StringCodec.encode_output("labels", [json.dumps(labels) for labels in found])
        return InferenceResponse(model_name=self.name, outputs=[texts])


async def serve(folder: Path, http: int, grpc: int, metrics: int) -> None:
    """Run MLServer on a folder of its settings files until it is told to end."""
    batching: dict[str, float] = {}
    workers: dict[str, int] = {}
    if best_setup():
        batching = {"max_batch_size": setting("batch"), "max_batch_time": setting("wait_ms") / 1000}
        workers = {"parallel_workers": setting("workers")}
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    model = {"name": "classify", "implementation": "benchmarks.rivals.mlserver_worker.Classify", **batching}
    places = {"host": "127.0.0.1", "metrics_dir": str(folder / "metrics"), **ports}
    (folder / "settings.json").write_text(json.dumps({**places, **workers}))
    (folder / "model-settings.json").write_text(json.dumps(model))
    settings, models = await load_settings(str(folder))
    await MLServer(settings).start(models)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(serve(Path(name), *map(int, sys.argv[1:])))
