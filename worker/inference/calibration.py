"""Before the first request, each batch size runs some times and is measured; the pace and the cap follow from that.

A worker's first model is measured while no other worker of the machine measures (`measure_exclusively`). A new version
is warmed while the old one serves, in batches no larger than those in use, with rests between them
(`warm_while_serving`), so that a request waits at most for one more batch of a size that is common here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.batching.padding import assemble
from worker.batching.policy import Pace, Streams, learn_pace
from worker.engines.tensors import repeated
from worker.errors import ModelError
from worker.inference.load_model import AnyModel
from worker.inference.model import Model
from worker.inference.tensor_model import TensorModel
from worker.system.file_lock import file_lock

logger = logging.getLogger(__name__)

BatchGate = Callable[[], AbstractContextManager[object]]
"""A context around each measured batch: `CoreScheduler.background_step` lets batches of serving models go first."""

Batch = Callable[[], object]
"""Predicts a batch that was made before."""

SIZES = (1, 2, 4, 8, 16)
STREAM_SIZES = (1, 2, 4)
"""Batch sizes of a stream: one core soon reaches its best throughput."""

ROW_SIZES = (1, 4, 16, 64, 256, 1024)
"""Batch sizes of rows of tensors: many such models take hardly longer for a thousand rows than for one."""

UNMEASURED = Pace(cap=32, batch_s=0.032, single_s=0.001)
"""The pace of a model for which no batch can be made up; while it serves, its slowdown is learned as any other's."""

ROUNDS = 5
SLOW_S = 1.0
"""After a batch that takes longer than this no larger one is tried: calibration must end."""

OTHERS_FIRST_S = 30.0
"""How long a worker that starts waits for others of its machine that measure; then it measures at the same time."""

SERVING_ROUNDS = 3
REST = 3.0
"""A rest is this many times as long as the batch before it: warming takes a quarter of the time."""


class _Work(NamedTuple):
    """What is measured of a model: functions from a size to a batch of it, on all cores or in one of `streams`."""

    noun: str
    streams: int
    sizes: Sequence[int]
    whole: Callable[[int], Batch]
    stream: Callable[[int], Batch]


class _Shape(NamedTuple):
    """A batch of `size` images on all cores, or one of them in each stream at the same time."""

    stream: bool
    size: int


def measure_exclusively(
    model: AnyModel, *, lock: Path, gate: BatchGate = nullcontext, within_s: float = OTHERS_FIRST_S
) -> Pace:
    """The pace of a process's first model, measured when other workers that start at this moment have measured.

    Two that measure at once on the same cores find batches slow that are not, and use smaller ones from then on. If
    another process holds `lock` for all of `within_s`, it hangs or there are many of them: then this worker measures at
    the same time, as it does where the lock cannot be made.
    """
    with ExitStack() as stack:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            if not stack.enter_context(file_lock(lock, within_s=within_s)):
                logger.warning("Other workers have been measuring for %g s: measuring at the same time.", within_s)
        except OSError as error:
            logger.debug("Measuring without waiting for other workers: %s", error)
        return measure_pace(model, gate=gate)


def measure_pace(model: AnyModel, *, gate: BatchGate = nullcontext) -> Pace:
    """The pace of a freshly loaded model; blocks for as long as the predictions take."""
    work = _work_of(model)
    if work is None:
        return UNMEASURED
    count = work.streams
    shapes = [_Shape(stream=False, size=size) for size in sorted({1, *work.sizes})]
    if count > 1:
        shapes += [_Shape(stream=True, size=size) for size in STREAM_SIZES]
    with ThreadPoolExecutor(count, thread_name_prefix="warm") as threads:

        def seconds_of(shape: _Shape) -> float:
            if not shape.stream:
                return _timed(work.whole(shape.size))
            return fmean(threads.map(_timed, [work.stream(shape.size)] * count))

        seconds = _measured(shapes, seconds_of, gate)
    all_cores = {shape.size: took_s for shape, took_s in seconds.items() if not shape.stream}
    each = {shape.size: took_s for shape, took_s in seconds.items() if shape.stream}
    pace = learn_pace(all_cores, streams=Streams(count, learn_pace(each)) if each else None)
    _log_pace(work.noun, pace, all_cores, each)
    return pace


def warm_while_serving(model: AnyModel, *, serving: Pace, gate: BatchGate = nullcontext) -> Pace:
    """Run each batch size that `serving` has some times; the pace of the new model, with the cap of `serving`.

    `gate` is a context around each batch: batches of the version that serves go first. A measurement while other
    models use the cores says little about the best batch size, so that is not learned again.
    """
    work = _work_of(model)
    if work is None:
        return UNMEASURED
    all_cores = _measured_with_rests(work.whole, serving.cap, gate)
    if serving.streams is None or work.streams == 1:
        return all_cores
    each = _measured_with_rests(work.stream, serving.streams.each.cap, gate)
    return replace(all_cores, streams=Streams(work.streams, each))


def sizes_up_to(cap: int) -> list[int]:
    """1, 2, 4, ... and `cap` itself."""
    return sorted({cap, *(1 << power for power in range(cap.bit_length()))})


def _measured(
    shapes: Sequence[_Shape], seconds_of: Callable[[_Shape], float], gate: BatchGate
) -> Mapping[_Shape, float]:
    """The least seconds of each shape, out of several rounds.

    All shapes run in each round, and the least time of each counts: a disturbance only ever adds time, and one that
    lasts affects all shapes alike.
    """
    seconds: dict[_Shape, float] = {}

    def measure(shape: _Shape) -> float:
        with gate():
            return seconds_of(shape)

    ended: set[bool] = set()  # for streams, or for all cores: no larger batch is tried
    for shape in shapes:
        if shape.stream in ended:
            continue
        try:
            seconds[shape] = measure(shape)  # with caches and allocations, as a first bound
        except ModelError as error:
            _log_too_large(shape.size, error)
            ended.add(shape.stream)
        else:
            if seconds[shape] > SLOW_S:
                ended.add(shape.stream)
    for _ in range(ROUNDS):
        for shape, took_s in seconds.items():
            if took_s <= SLOW_S:
                seconds[shape] = min(took_s, measure(shape))
    return seconds


def _measured_with_rests(batch_of: Callable[[int], Batch], cap: int, gate: BatchGate) -> Pace:
    seconds: dict[int, float] = {}
    for size in sizes_up_to(cap):
        batch = batch_of(size)
        try:
            seconds[size] = min(_timed_with_rest(batch, gate) for _ in range(SERVING_ROUNDS))
        except ModelError as error:
            _log_too_large(size, error)
            break
        if seconds[size] > SLOW_S:
            break
    cap = max(seconds)
    return Pace(cap=cap, batch_s=seconds[cap], single_s=seconds[1])


def _timed_with_rest(batch: Batch, gate: BatchGate) -> float:
    with gate():
        took_s = _timed(batch)
    time.sleep(REST * took_s)
    return took_s


def _timed(batch: Batch) -> float:
    """The seconds that one prediction takes."""
    started_s = time.perf_counter()
    batch()
    return time.perf_counter() - started_s


def _work_of(model: AnyModel) -> _Work | None:
    """The batches of a model; None, with a line in the log, where it does not predict what was made up for it."""
    return _work_of_tensors(model) if isinstance(model, TensorModel) else _work_of_images(model)


def _work_of_images(model: Model) -> _Work:
    """Batches of n example images, padded as the engine wants them.

    The example is made once: that takes longer than many a prediction.
    """
    example, sizes = model.example(), model.engine.fixed_batches or ()

    def batches(predict: Callable[[Sequence[NDArray[np.uint8]]], object]) -> Callable[[int], Batch]:
        return lambda size: partial(predict, assemble([example] * size, sizes))

    return _Work("Images", model.engine.streams, sizes or SIZES, batches(model.predict), batches(model.stream))


def _work_of_tensors(model: TensorModel) -> _Work | None:
    try:
        example = model.example()
        if example is not None:
            model.predict([example])
    except ModelError as error:
        logger.info("%s does not predict rows that were made up for it: %s", model.name, error)
        example = None
    if example is None:
        logger.info("Batches of %s have up to %d rows: give it example(self).", model.name, UNMEASURED.cap)
        return None

    def batch(size: int) -> Batch:
        return partial(model.predict, [repeated(example, size)])

    if model.signature.images:
        return _Work("Images", 1, SIZES, batch, batch)
    return _Work("Rows", 1, ROW_SIZES, batch, batch)


def _log_too_large(size: int, error: ModelError) -> None:
    """Say that a batch of `size` images fails and that batches stay smaller; raises `error` for a single image."""
    if size == 1:
        raise error
    logger.warning("Batches stay smaller than %d, because that many failed: %s", size, error)


def _log_pace(noun: str, pace: Pace, all_cores: Mapping[int, float], each: Mapping[int, float]) -> None:
    chosen = f"{pace.streams.count} streams of up to {pace.streams.each.cap}" if pace.streams else "no streams"
    streams = f"; of each stream: {_rates(each)}" if each else ""
    logger.info(
        "%s a second by batch size: %s%s. Batches of up to %d, %s.", noun, _rates(all_cores), streams, pace.cap, chosen
    )


def _rates(seconds: Mapping[int, float]) -> str:
    return ", ".join(f"{size}: {size / s:.0f}" for size, s in seconds.items())
