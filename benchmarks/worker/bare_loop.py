"""The bare loop: images decoded and predicted in one process without a server, as many as the cores allow.

    python -m benchmarks.worker.bare_loop --model FOLDER [--engine onnx] [--device cpu] [--precision f32] FILE...

There are two kinds of schedules, both with the worker's decoder and engine. In batches: two threads decode, and one
engine predicts with all cores; `ahead` means that the next batch is decoded while this one is predicted. In streams: as
many threads as cores, each of which decodes and predicts on an engine of one thread; PyTorch has one number of threads
for the whole process, and so no streams. All schedules are tried in turns, several times, and the best of either kind
is offered. With a GPU all cores decode, batches are larger, and `ahead` also uploads the next one.

Prints one JSON object: `schedules` (those offered), `label` (the best label of the first file) and `tried` (images per
second of all schedules). Then it answers each line on standard input with a line: `NUMBER SECONDS` with the images per
second of the schedule of that number, `alone SECONDS` with the median milliseconds of decoding and then predicting one
image while nothing else runs. `benchmarks.worker.bare_loop_process` writes these lines.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.affinity import cores
from worker.artifacts.source import ModelSource
from worker.inference.model import Model, load
from worker.system.cpu import usable_cores

Pixels = NDArray[np.uint8]

SIZES = (1, 2, 4, 8, 16, 32)
GPU_SIZES = (16, 32, 64)
STREAM_BATCHES = (1, 2, 4, 8)
DECODERS = 2
GPU_AHEAD = 2
"""Batches that are decoded and uploaded while a GPU predicts one; a CPU has one decoded ahead."""
TRIALS = 3
FIRST_S = 0.001
"""One batch, to warm up."""
TRIAL_S = 0.4


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How images are decoded and predicted: in streams or not, how many at a time, decoded ahead or not."""

    streams: bool
    batch: int
    ahead: bool = False

    def __str__(self) -> str:
        if self.streams:
            return f"streams, {self.batch} at a time"
        return f"batches of {self.batch}{', decoded ahead' if self.ahead else ''}"


@dataclass(frozen=True)
class Loop:
    """A model whose engine uses all cores, the same model once per core with an engine of one thread, and images."""

    model: Model
    streams: Sequence[Model]
    files: Sequence[bytes]
    decoders: int = DECODERS
    in_advance: int = 1

    def per_s(self, schedule: Schedule, seconds: float) -> float:
        """Images per second with this schedule, measured for about so many seconds."""
        if schedule.streams:
            return self._in_streams(schedule.batch, seconds)
        return self._in_batches(schedule.batch, schedule.ahead, seconds)

    def lone_ms(self, seconds: float) -> float:
        """The median milliseconds from an encoded image to its scores."""
        return statistics.median(self._lone_ms(seconds))

    def _in_batches(self, batch: int, ahead: bool, seconds: float) -> float:
        with ThreadPoolExecutor(self.decoders) as threads, ThreadPoolExecutor(1) as uploading:
            turn = itertools.cycle(self.files)

            def begun() -> Future[Sequence[Pixels]]:
                coming = [threads.submit(self.model.decode, next(turn)) for _ in range(batch)]
                return uploading.submit(self._assembled, coming)

            coming = [begun() for _ in range(self.in_advance if ahead else 0)]
            done = 0
            began_s = time.perf_counter()
            while time.perf_counter() - began_s < seconds:
                images = (coming.pop(0) if ahead else begun()).result()
                coming += [begun()] if ahead else []
                self.model.predict(images)
                done += batch
            return done / (time.perf_counter() - began_s)

    def _assembled(self, coming: Sequence[Future[Pixels]]) -> Sequence[Pixels]:
        """Decoded images as the engine takes them; on their way to the GPU where there is one."""
        images = [future.result() for future in coming]
        upload = self.model.engine.upload
        return upload(images) if upload else images

    def _in_streams(self, batch: int, seconds: float) -> float:
        began_s = time.perf_counter()

        def run(stream: Model) -> int:
            turn = itertools.cycle(self.files)
            done = 0
            while time.perf_counter() - began_s < seconds:
                stream.predict([stream.decode(next(turn)) for _ in range(batch)])
                done += batch
            return done

        with ThreadPoolExecutor(len(self.streams)) as threads:
            done = sum(threads.map(run, self.streams))
        return done / (time.perf_counter() - began_s)

    def _lone_ms(self, seconds: float) -> Iterator[float]:
        until_s = time.perf_counter() + seconds
        for data in itertools.cycle(self.files):
            began_s = time.perf_counter()
            self.model.predict([self.model.decode(data)])
            yield (time.perf_counter() - began_s) * 1000
            if time.perf_counter() > until_s:
                return


def one_per_core(source: ModelSource) -> list[Model]:
    """The model once per core, each with an engine of one thread."""
    found = []
    for number in range(usable_cores()):
        with cores(1, first=number):
            found.append(load(source, name="classify"))
    return found


def try_all(loop: Loop) -> dict[Schedule, float]:
    """The median rate of each schedule over several short turns, in which all alternate."""
    sizes = GPU_SIZES if loop.model.engine.device != "cpu" else SIZES
    schedules = [Schedule(streams=False, batch=size, ahead=ahead) for size in sizes for ahead in (False, True)]
    schedules += [Schedule(streams=True, batch=size) for size in STREAM_BATCHES if loop.streams]
    for schedule in schedules:
        loop.per_s(schedule, FIRST_S)
    turns = [{schedule: loop.per_s(schedule, TRIAL_S) for schedule in schedules} for _ in range(TRIALS)]
    return {schedule: statistics.median(turn[schedule] for turn in turns) for schedule in schedules}


def _best(tried: Mapping[Schedule, float], *, streams: bool) -> Schedule:
    """The fastest schedule of one kind."""
    return max((schedule for schedule in tried if schedule.streams == streams), key=lambda schedule: tried[schedule])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="f32")
    options = parser.parse_args()
    source = ModelSource(path=options.model, engine=options.engine, device=options.device, precision=options.precision)
    model = load(source, name="classify")
    files = [file.read_bytes() for file in options.files]
    if model.engine.device != "cpu":
        loop = Loop(model, [], files, decoders=usable_cores(), in_advance=GPU_AHEAD)
    else:
        loop = Loop(model, [] if options.engine == "torch" else one_per_core(source), files)
    tried = try_all(loop)
    offered = [_best(tried, streams=streams) for streams in sorted({schedule.streams for schedule in tried})]
    label = model.top(model.predict([model.decode(loop.files[0])])[0], 1)[0][0]
    rates = {str(schedule): round(rate, 1) for schedule, rate in tried.items()}
    print(json.dumps({"schedules": list(map(str, offered)), "label": label, "tried": rates}), flush=True)
    for line in sys.stdin:
        what, seconds = line.split()
        took = loop.lone_ms(float(seconds)) if what == "alone" else loop.per_s(offered[int(what)], float(seconds))
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
