"""Measures how long a model takes by batch size, and decoding one image, for `benchmarks.simulations.batching`."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.photos import chelsea_jpeg
from worker.artifacts.source import ModelSource
from worker.inference.model import load

SIZES = (1, 2, 4, 8, 16)
ROUNDS = 15


def measure() -> dict[str, Any]:
    """The least milliseconds of several rounds, since disturbances only add to a measurement."""
    model = load(ModelSource(), name="measured")
    photo = chelsea_jpeg()
    image = model.decode(photo)
    steps: dict[int, Callable[[], Any]] = {0: lambda: model.decode(photo)}
    steps |= {size: partial(model.predict, [image] * size) for size in SIZES}
    least_ms = {size: min(_ms(step) for _ in range(ROUNDS)) for size, step in steps.items()}
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {datetime.date.today():%Y-%m}, {model.engine.name}",
        "decode_ms": round(least_ms.pop(0), 2),
        "batch_ms": {size: round(took_ms, 2) for size, took_ms in least_ms.items()},
    }


def _ms(step: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    step()
    return (time.perf_counter() - started_s) * 1000


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
