"""A worker as a program, whose stages take as long as an image's width says, for signals in the middle of a stage.

python slow_worker.py CONSUL_URL PORT FINISH_S. An image of 9 pixels' width takes a second to decode, one of 7 a
second to predict, one of 5 never ends; all others take no time. Standard error says which stage begins.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from registry.consul.settings import ConsulSettings
from registry.runtime.processes.lifecycle import run
from worker.artifacts.source import ModelSource
from worker.engines.echo import Echo
from worker.inference.model import Model
from worker.server.serve import serve
from worker.settings import WorkerSettings
from worker.system.process import end_in_time

DECODES_SLOWLY, PREDICTS_SLOWLY, NEVER_ENDS = 9, 7, 5

_decode, _predict = Model.decode, Echo.predict


def decode(self: Model, data: bytes | bytearray | memoryview) -> NDArray[np.uint8]:
    image = _decode(self, data)
    width = image.shape[1]
    print("decoding", width, file=sys.stderr, flush=True)
    if width == DECODES_SLOWLY:
        time.sleep(1)
    print("decoded", width, file=sys.stderr, flush=True)
    return image


def predict(self: Echo, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    widths = {image.shape[1] for image in images}
    print("predicting", *widths, file=sys.stderr, flush=True)
    if NEVER_ENDS in widths:
        threading.Event().wait()
    if PREDICTS_SLOWLY in widths:
        time.sleep(1)
    return _predict(self, images)


async def main(stop: asyncio.Event) -> None:
    """Serve as `p2p worker --engine echo` does."""
    settings = WorkerSettings(
        backend=ConsulSettings(url=sys.argv[1]),
        source=ModelSource(engine="echo"),
        service=f"slow-{sys.argv[2]}",
        port=int(sys.argv[2]),
        drain_s=0.3,
        finish_s=float(sys.argv[3]),
    )
    await serve(settings, stop)


if __name__ == "__main__":
    Model.decode, Echo.predict = decode, predict  # type: ignore[method-assign]  # the slow ones
    code = run(main, failures=())
    end_in_time(code, within_s=1)
    sys.exit(code)
