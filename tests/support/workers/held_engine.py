"""An echo engine whose predictions wait until a test lets them go, beside a queue whose length the test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.batching.policy import Pace, Streams
from worker.engines import echo
from worker.inference import calibration

CAP = 64
"""Images in a batch: more than any test lets wait."""


def held_engine(
    monkeypatch: pytest.MonkeyPatch, *, holds: Callable[[Sequence[NDArray[np.uint8]]], bool] = lambda images: True
) -> threading.Event:
    """While the event is not set, every batch that `holds` chooses waits for it, at most 20 s; it is set at first.

    The cap is given instead of measured: a full batch is taken from the queue while another one runs, so with a small
    cap, which a measurement finds now and then, the images that a test lets wait would leave the queue.
    """
    go, predict = threading.Event(), echo.Echo.predict
    go.set()

    def held(self: echo.Echo, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if holds(images):
            go.wait(20)
        return predict(self, images)

    def known_pace(seconds: Mapping[int, float], *, streams: Streams | None = None) -> Pace:
        return Pace(cap=CAP, batch_s=0.002, single_s=0.001)

    monkeypatch.setattr(echo.Echo, "predict", held)
    monkeypatch.setattr(calibration, "learn_pace", known_pace)
    return go
