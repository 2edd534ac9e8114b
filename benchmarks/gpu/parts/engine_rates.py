"""The engine without a server: agreement with the CPU's scores, and images a second by batch size and precision."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.gpu.figures import Figure
from benchmarks.gpu.setup import Found, Setup
from worker.artifacts.formats import Precision
from worker.artifacts.source import ModelSource
from worker.engines.base import Engine
from worker.engines.load import load_engine
from worker.engines.sample_images import sample_images

PICTURES = 64
"""As many as the largest batch has images."""
SIZES = (1, 8, 64)
WARM_CALLS = 4
SHARE_OF_TURN = 0.3
"""How long each size is measured, as a share of a turn: there is no load to settle."""

PRECISIONS: tuple[Precision, ...] = ("f32", "bf16")


def measure(setup: Setup, found: Found) -> None:
    """Agreement first; then the rates of both formats and precisions, beside float32 in the same batch size."""
    judge = _engine(setup, "f32", device="cpu")
    pictures = sample_images(judge.input, PICTURES)
    wanted = _scores(judge, pictures)
    rates: dict[int, float] = {}
    for precision in PRECISIONS:
        engine = _engine(setup, precision)
        _compare(precision, _scores(engine, pictures), wanted, found)
        for size in SIZES:
            rate = images_per_s(engine.predict, pictures[:size], setup.seconds * SHARE_OF_TURN)
            found(Figure(f"TorchScript, {precision}, batches of {size}", rate, "images/s", rates.get(size)))
            rates.setdefault(size, rate)
        engine.close()
    engine = load_engine(ModelSource(path=setup.exported, engine="torch", device=setup.device_flag), "torch")
    for size in SIZES:
        rate = images_per_s(engine.predict, pictures[:size], setup.seconds * SHARE_OF_TURN)
        found(Figure(f"torch.export, f32, batches of {size}", rate, "images/s", rates[size]))


def images_per_s(predict: Callable[[Sequence[Any]], Any], batch: Sequence[Any], seconds: float) -> float:
    """Images per second in batches, one after the other."""
    for _ in range(WARM_CALLS):
        predict(batch)
    done, began_s = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began_s) < seconds or not done:
        predict(batch)
        done += len(batch)
    return done / max(took_s, time.perf_counter() - began_s)


def _engine(setup: Setup, precision: Precision, device: str | None = None) -> Engine:
    source = ModelSource(
        path=setup.torchscript, engine="torch", device=device or setup.device_flag, precision=precision
    )
    return load_engine(source, "torch")


def _scores(engine: Engine, pictures: Sequence[Any]) -> Any:
    return np.concatenate([engine.predict(pictures[at : at + 16]) for at in range(0, len(pictures), 16)])


def _compare(precision: str, scores: Any, wanted: Any, found: Found) -> None:
    """How far the scores are from those of the CPU in float32."""
    same = float((scores.argmax(1) == wanted.argmax(1)).mean())
    note = f"largest score {float(wanted.max()):.2f}; {len(scores)} sample pictures"
    found(Figure(f"{precision}: same best class as the CPU in float32", same, "of 1", note=note))
    found(Figure(f"{precision}: largest difference of a score", float(np.abs(scores - wanted).max()), ""))
