"""What the same cores give without a server: a bare loop of decode and predict in one process.

    python -m benchmarks.ceiling --model FOLDER [--engine onnx] [--seconds 3] [--batch N [--ahead]] FILE...

Two threads decode and one predicts, with the same decoder and engine as the worker's; `ahead` means that the next
batch is decoded while this one is predicted. Without --batch every size is tried, ahead and not, and the best way is
measured. Prints one JSON object: `batch`, `ahead`, `per_s` (images a second), `lone_ms` (the median of decoding and
then predicting one image, with nothing beside it) and `label` (the best label of the first file).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.model import Model, ModelSource, load

Pixels = NDArray[np.uint8]

SIZES = (1, 2, 4, 8, 16, 32)
DECODERS = 2
TRIAL_S = 0.7


def per_s(model: Model, files: list[bytes], *, batch: int, ahead: bool, seconds: float) -> float:
    """Images a second in batches of this size, for about so many seconds."""
    with ThreadPoolExecutor(DECODERS) as threads:
        turn = itertools.cycle(files)

        def decoding() -> list[Future[Pixels]]:
            return [threads.submit(model.decode, next(turn)) for _ in range(batch)]

        coming = decoding() if ahead else []
        done = 0
        began_s = time.perf_counter()
        while time.perf_counter() - began_s < seconds:
            images = [future.result() for future in coming or decoding()]
            coming = decoding() if ahead else []
            model.predict(images)
            done += batch
        return done / (time.perf_counter() - began_s)


def lone_ms(model: Model, files: list[bytes], *, seconds: float) -> float:
    """The median milliseconds from an encoded image to its scores."""
    return statistics.median(_lone_ms(model, files, seconds))


def _lone_ms(model: Model, files: list[bytes], seconds: float) -> Iterator[float]:
    until_s = time.perf_counter() + seconds
    for data in itertools.cycle(files):
        began_s = time.perf_counter()
        model.predict([model.decode(data)])
        yield (time.perf_counter() - began_s) * 1000
        if time.perf_counter() > until_s:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--ahead", action="store_true")
    options = parser.parse_args()
    model = load(ModelSource(path=options.model, engine=options.engine), name="classify")
    files = [file.read_bytes() for file in options.files]
    for size in SIZES:
        model.predict([model.example()] * size)  # warm
    ways = [(options.batch, options.ahead)] if options.batch else list(itertools.product(SIZES, (False, True)))
    tried = {way: per_s(model, files, batch=way[0], ahead=way[1], seconds=TRIAL_S) for way in ways}
    batch, ahead = max(tried, key=lambda way: tried[way])
    label = model.top(model.predict([model.decode(files[0])])[0], 1)[0][0]
    rate = per_s(model, files, batch=batch, ahead=ahead, seconds=options.seconds)
    alone = lone_ms(model, files, seconds=options.seconds)
    print(json.dumps({"batch": batch, "ahead": ahead, "per_s": rate, "lone_ms": alone, "label": label}))


if __name__ == "__main__":
    main()
