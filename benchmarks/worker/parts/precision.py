"""What a number format costs and saves: accuracy on labelled images, agreement with float32, images per second.

    python -m benchmarks.worker.parts.precision [--model PATH] [--engine openvino] [--images 200] [--rounds 15]

The images are parts of photos that packages ship, of which it is known what is to be seen: large parts (from 0.8 of the
shorter side), and parts down to a third, which are hard to recognise. All precisions that the engine has are loaded in
one process and predict in turn; medians count.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.inputs import default_model
from benchmarks.harness.summary import markdown_table
from benchmarks.worker.photo_crops import LABELS, LEAST_EDGE, crops, photos
from worker.artifacts.formats import PRECISIONS
from worker.artifacts.source import ModelSource
from worker.engines.frameworks import framework
from worker.engines.selection.report import agreement, difference
from worker.errors import ModelError
from worker.inference.model import Model, load
from worker.system.cpu import processor

SIZES = (1, 8)
LARGE_EDGE = 0.8


def main() -> None:
    options = _arguments()
    models: dict[str, Model] = {}
    for precision in PRECISIONS:
        if precision not in framework(options.engine).precisions:
            continue
        try:
            source = ModelSource(path=options.model or default_model(), engine=options.engine, precision=precision)
            models[precision] = load(source, name="classify")
        except ModelError as error:
            print(f"{precision}: left out: {error}", file=sys.stderr)
    rates = {size: _rates(models, size, options.rounds) for size in SIZES}
    kinds = {"large parts": LARGE_EDGE, "hard parts": LEAST_EDGE}
    scores = {kind: _scores(models, _images(options.images, least)) for kind, least in kinds.items()}
    print(f"{options.engine} on {processor()}, {options.images} images of each kind\n")
    head = [f"batch {size}, per second" for size in SIZES]
    head += [f"{kind}: {what}" for kind in kinds for what in ("accuracy", "agreement", "difference")]
    rows = []
    for name in models:
        cells = [f"{rates[size][name]:.0f}" for size in SIZES]
        for found in scores.values():
            wanted = found["f32"]
            cells += [f"{_accuracy(models[name], found[name]):.3f}", f"{agreement(wanted, found[name]):.3f}"]
            cells += [f"{difference(wanted, found[name]):.2g}"]
        rows.append([name, *cells])
    print(markdown_table(["precision", *head], rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model with ImageNet's labels; the worker's default if not given")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    return parser.parse_args()


def _images(count: int, least: float) -> list[bytes]:
    known = photos()
    return crops([known[name] for name in LABELS], count, least=least)


def _scores(models: dict[str, Model], images: Sequence[bytes]) -> dict[str, NDArray[np.float32]]:
    """The scores [images, classes] in each precision."""
    return {
        name: np.concatenate([model.predict([model.decode(image)]) for image in images])
        for name, model in models.items()
    }


def _accuracy(model: Model, scores: NDArray[np.float32]) -> float:
    """In which share of the images the best label is one of the photo's."""
    labels = list(LABELS.values())
    right = [model.top(row, 1)[0][0] in labels[number % len(labels)] for number, row in enumerate(scores)]
    return sum(right) / len(right)


def _rates(models: dict[str, Model], size: int, rounds: int) -> dict[str, float]:
    """Images per second of each precision in batches of `size`: the median of `rounds`, after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(1 + rounds):
        for name, model in models.items():
            batch = [model.example()] * size
            began_s = time.perf_counter()
            model.predict(batch)
            seconds[name].append(time.perf_counter() - began_s)
    return {name: size / statistics.median(measured[1:]) for name, measured in seconds.items()}


if __name__ == "__main__":
    main()
