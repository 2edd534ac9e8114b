"""What the same cores give without a server: a bare loop of decode and predict in one process.

    python -m benchmarks.worker.bare_loop --model FOLDER [--engine onnx] FILE...

There are two kinds of ways, both with the worker's decoder and engine. In batches: two threads decode, and one engine
predicts with all cores; `ahead` means that the next batch is decoded while this one is predicted. In lanes: as many
threads as cores, each of which decodes and predicts by itself on an engine of one thread. All are tried, in turn and
several times, and the best of either kind is offered.

Prints one JSON object: `ways` (what is offered), `label` (the best label of the first file) and `tried` (images a
second of all). Then it takes turns as they are asked for, a line each on standard input, and answers each with a line:
`NUMBER SECONDS` with the images a second of the way of that number, `alone SECONDS` with the median milliseconds of
decoding and then predicting one image, with nothing beside it. `benchmarks.worker.bare_loop_process` asks.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.worker.few_cores import cores
from worker.inference.model import Model, ModelSource, load
from worker.system.cpu import usable_cores

Pixels = NDArray[np.uint8]

SIZES = (1, 2, 4, 8, 16, 32)
LANE_SIZES = (1, 2, 4, 8)
DECODERS = 2
TRIALS = 3
TRIAL_S = 0.4


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to decode and predict: in lanes or not, how many images at a time, decoded ahead or not."""

    lanes: bool
    batch: int
    ahead: bool = False

    def __str__(self) -> str:
        if self.lanes:
            return f"lanes, {self.batch} at a time"
        return f"batches of {self.batch}{', decoded ahead' if self.ahead else ''}"


@dataclass(frozen=True)
class Loop:
    """A model with all cores, the same once for each core with one thread, and the images."""

    model: Model
    lanes: Sequence[Model]
    files: Sequence[bytes]

    def per_s(self, way: Way, seconds: float) -> float:
        """Images a second in this way, for about so many seconds."""
        if way.lanes:
            return self._in_lanes(way.batch, seconds)
        return self._in_batches(way.batch, way.ahead, seconds)

    def lone_ms(self, seconds: float) -> float:
        """The median milliseconds from an encoded image to its scores."""
        return statistics.median(self._lone_ms(seconds))

    def _in_batches(self, batch: int, ahead: bool, seconds: float) -> float:
        with ThreadPoolExecutor(DECODERS) as threads:
            turn = itertools.cycle(self.files)

            def decoding() -> list[Future[Pixels]]:
                return [threads.submit(self.model.decode, next(turn)) for _ in range(batch)]

            coming = decoding() if ahead else []
            done = 0
            began_s = time.perf_counter()
            while time.perf_counter() - began_s < seconds:
                images = [future.result() for future in coming or decoding()]
                coming = decoding() if ahead else []
                self.model.predict(images)
                done += batch
            return done / (time.perf_counter() - began_s)

    def _in_lanes(self, batch: int, seconds: float) -> float:
        began_s = time.perf_counter()

        def run(lane: Model) -> int:
            turn = itertools.cycle(self.files)
            done = 0
            while time.perf_counter() - began_s < seconds:
                lane.predict([lane.decode(next(turn)) for _ in range(batch)])
                done += batch
            return done

        with ThreadPoolExecutor(len(self.lanes)) as threads:
            done = sum(threads.map(run, self.lanes))
        return done / (time.perf_counter() - began_s)

    def _lone_ms(self, seconds: float) -> Iterator[float]:
        until_s = time.perf_counter() + seconds
        for data in itertools.cycle(self.files):
            began_s = time.perf_counter()
            self.model.predict([self.model.decode(data)])
            yield (time.perf_counter() - began_s) * 1000
            if time.perf_counter() > until_s:
                return


def one_for_each_core(source: ModelSource) -> list[Model]:
    """The model once for each core, its engine with one thread."""
    found = []
    for number in range(usable_cores()):
        with cores(1, first=number):
            found.append(load(source, name="classify"))
    return found


def try_all(loop: Loop) -> dict[Way, float]:
    """The median rate of each way over several short turns, in which all alternate."""
    ways = [Way(lanes=False, batch=size, ahead=ahead) for size in SIZES for ahead in (False, True)]
    ways += [Way(lanes=True, batch=size) for size in LANE_SIZES]
    for way in ways:
        loop.per_s(way, 0)  # warm: one batch
    turns = [{way: loop.per_s(way, TRIAL_S) for way in ways} for _ in range(TRIALS)]
    return {way: statistics.median(turn[way] for turn in turns) for way in ways}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--engine", default="onnx")
    options = parser.parse_args()
    source = ModelSource(path=options.model, engine=options.engine)
    model = load(source, name="classify")
    loop = Loop(model, one_for_each_core(source), [file.read_bytes() for file in options.files])
    tried = try_all(loop)
    ways = [max((way for way in tried if way.lanes == lanes), key=lambda way: tried[way]) for lanes in (False, True)]
    label = model.top(model.predict([model.decode(loop.files[0])])[0], 1)[0][0]
    rates = {str(way): round(rate, 1) for way, rate in tried.items()}
    print(json.dumps({"ways": list(map(str, ways)), "label": label, "tried": rates}), flush=True)
    for line in sys.stdin:
        what, seconds = line.split()
        took = loop.lone_ms(float(seconds)) if what == "alone" else loop.per_s(ways[int(what)], float(seconds))
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
