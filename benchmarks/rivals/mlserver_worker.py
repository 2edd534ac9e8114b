# /// script
# dependencies = ["mlserver==1.7.1", "uvloop==0.21.0"]  # its worker processes ask uvloop 0.22 for a loop in vain
# [tool.rival]
# name = "MLServer"
# best = ["-m", "benchmarks.rivals.mlserver_worker", "{port}"]
# path = "/v2/models/classify/infer"
# body = '''{"inputs": [{
#     "name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"}, "data": ["BASE64"]
# }]}'''
# ///
"""MLServer with a custom runtime, the image as a BYTES tensor in base64: its REST server takes no binary tensors.

Table (b) is the documentation's way: no adaptive batching, one worker process. Table (a): adaptive batching; without
worker processes, which would send every image through a pipe once more.
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

from benchmarks.rivals.model import best_setup, classify, load


class Classify(MLModel):
    """A BYTES tensor of encoded images in, one JSON text an image out."""

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


async def serve(folder: Path, port: int) -> None:
    """Run MLServer on a folder of its settings files until it is told to end."""
    batching = {"max_batch_size": 8, "max_batch_time": 0.002} if best_setup() else {}
    workers = {"parallel_workers": 0} if best_setup() else {}
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    model = {"name": "classify", "implementation": "benchmarks.rivals.mlserver_worker.Classify", **batching}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", **ports, **workers}))
    (folder / "model-settings.json").write_text(json.dumps(model))
    settings, models = await load_settings(str(folder))
    await MLServer(settings).start(models)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(serve(Path(name), int(sys.argv[1])))
