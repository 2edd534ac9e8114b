"""Every engine that can run a model: images per second at several batch sizes, and how far its answers differ.

    python -m benchmarks.worker.parts.engines [--model PATH] [--rounds 15] [--sizes 1,8,32]

The default model unless another is given. All engines are loaded in one process, as a worker loads them; in each round
every engine predicts one batch; medians count. Other programs that run at the same time falsify the figures.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.inputs import default_model
from benchmarks.harness.summary import markdown_table
from worker.artifacts.formats import format_of
from worker.artifacts.preprocess_config import read_preprocess
from worker.artifacts.source import ModelSource, locate
from worker.engines.base import Engine
from worker.engines.sample_images import sample_images
from worker.engines.selection.select import candidates, open_model
from worker.errors import ModelError
from worker.system.cpu import processor


def main() -> None:
    options = _arguments()
    path = locate(options.model or default_model()).path
    engines: dict[str, Engine] = {}
    for one in candidates(ModelSource(path=path), format_of(path)):
        for precision in sorted(one.precisions, reverse=True):
            source = ModelSource(path=path, engine=one.name, precision=precision, preprocess=read_preprocess(path))
            try:
                engines[f"{one.name} {precision}"] = open_model(source)[0]
            except ModelError as error:
                print(f"{one.name} {precision}: left out: {error}", file=sys.stderr)
    sizes = [int(size) for size in options.sizes.split(",")]
    rates = {size: _rates(engines, size, options.rounds) for size in sizes}
    _print(engines, rates, path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sizes", default="1,8,32")
    return parser.parse_args()


def _rates(engines: dict[str, Engine], size: int, rounds: int) -> dict[str, float]:
    """Images per second of each engine in batches of `size`: the median of `rounds`, after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(1 + rounds):
        for name, engine in engines.items():
            batch = sample_images(engine.input, 1) * size
            started_s = time.perf_counter()
            engine.predict(batch)
            seconds[name].append(time.perf_counter() - started_s)
    return {name: size / statistics.median(measured[1:]) for name, measured in seconds.items()}


def _print(engines: dict[str, Engine], rates: dict[int, dict[str, float]], path: Path) -> None:
    reference = next(iter(engines))
    wanted = _answers(engines[reference])
    print(f"{path.name} on {processor()}: images per second by batch size, and the largest difference from {reference}")
    rows = []
    for name, engine in engines.items():
        found = _answers(engine)
        same = int((found.argmax(axis=1) == wanted.argmax(axis=1)).sum())
        cells = [f"{rates[size][name]:.0f}" for size in rates] + [f"{np.abs(found - wanted).max():.1g}"]
        rows.append([name, *cells, f"{same} of {len(found)}"])
    head = ["engine", *(f"batch {size}" for size in rates), "difference", "same best class"]
    print(f"\n{markdown_table(head, rows)}")


def _answers(engine: Engine) -> NDArray[np.float32]:
    """Scores [16, classes] of sample images."""
    return engine.predict(sample_images(engine.input, 16))


if __name__ == "__main__":
    main()
