"""`p2p label` beside a bare loop that decodes and predicts the same files, in the same process, in turns."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.harness.inputs import PHOTO, default_model
from worker.artifacts.source import ModelSource
from worker.cli.label_files import BATCH, label_files
from worker.inference.model import Model, load
from worker.system.cpu import usable_cores

_ROUNDS = 5


def measure_labelling(folder: Path, *, images: int = 100) -> Iterator[str]:
    """A line with the images per second of both, and the median of their ratios in each round."""
    files = [folder / f"{number}.jpg" for number in range(images)]
    for file in files:
        file.write_bytes(PHOTO.read_bytes())
    model = load(ModelSource(path=default_model(), engine="openvino"), name="label")
    bare, label = [], []
    for _ in range(_ROUNDS):
        bare.append(_bare_loop(model, files))
        label.append(_label(model, files))
    ratio = statistics.median(one / other for one, other in zip(bare, label, strict=True))
    rates = [f"{images / statistics.median(seconds):.0f}" for seconds in (label, bare)]
    yield f"p2p label: {rates[0]} images/s; bare loop: {rates[1]}; ratio {ratio:.2f}"
    model.close()


def _bare_loop(model: Model, files: list[Path]) -> float:
    """Seconds to decode in threads, predict in batches and find the five best labels."""
    began_s = time.perf_counter()
    with ThreadPoolExecutor(usable_cores()) as threads:
        decoded = threads.map(lambda file: model.decode(file.read_bytes()), files)
        for _ in range(0, len(files), BATCH):
            batch = [image for _, image in zip(range(BATCH), decoded, strict=False)]
            for row in model.predict(np.stack(batch)):  # type: ignore[arg-type]  # an array is taken, too
                model.top(row, 5)
    return time.perf_counter() - began_s


def _label(model: Model, files: list[Path]) -> float:
    began_s = time.perf_counter()
    label_files(map(str, files), model=model, top=5, form="text", out=io.StringIO(), err=io.StringIO())
    return time.perf_counter() - began_s
