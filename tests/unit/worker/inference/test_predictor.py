"""The whole road from encoded images to scores, with an engine whose answers name their images."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from prometheus_client import generate_latest

from tests.support.waiting import until
from worker.batching.batcher import Batcher
from worker.batching.core_scheduler import CoreScheduler
from worker.batching.padding import padded_size
from worker.batching.policy import Pace, Streams
from worker.batching.queue import Scores
from worker.engines.base import InputSpec, SingleStream
from worker.errors import BadRequest, Busy, DeadlinePassed, NotAnImage, WorkerError
from worker.images.decode import ImageSize, Share
from worker.inference.model import Model
from worker.inference.predictor import Predictor
from worker.system.loop_threads import LoopThreads
from worker.telemetry.metrics import WorkerMetrics
from worker.telemetry.request_stages import noting_stages

POISON = 255
PACE = Pace(cap=4, batch_s=0.0, single_s=0.0)


class Naming(SingleStream):
    """An engine that answers each image's first value and its own version; POISON fails its batch."""

    name = "naming"
    platform = "numpy"
    classes = 2

    def __init__(self, version: int = 1, *, device: str = "cpu", fixed: tuple[int, ...] | None = None) -> None:
        self.version = version
        self.device = device
        self.fixed_batches = fixed
        self.input = InputSpec(ImageSize(1, 1))
        self.go = threading.Event()
        self.go.set()
        self.sizes: list[int] = []
        self.stacked: list[bool] = []
        self.seen: list[int] = []
        self.closed = False

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        assert not self.closed
        self.sizes.append(len(images))
        self.stacked.append(isinstance(images, np.ndarray))
        self.go.wait(10)
        values = [int(image[0, 0, 0]) for image in images]
        self.seen += values
        if POISON in values:
            raise RuntimeError("poison")
        return np.array([[value, self.version] for value in values], np.float32)

    def close(self) -> None:
        self.closed = True


@dataclass
class Bench:
    """What predictors of one process share."""

    decoding: LoopThreads
    numbers: WorkerMetrics = field(default_factory=WorkerMetrics)
    scheduler: CoreScheduler = field(default_factory=lambda: CoreScheduler(cores=2))

    def predictor(self, engine: Naming, *, queue_most: int = 100, cap: int = 4, streams: int = 1) -> Predictor:
        return Predictor.over(
            Model("test", str(engine.version), ("value", "version"), engine, 1_000_000),
            Pace(
                cap=cap,
                batch_s=0.0,
                single_s=0.0,
                streams=Streams(streams, Pace(cap=cap, batch_s=1e-6, single_s=1e-6)) if streams > 1 else None,
            ),
            decoding=self.decoding,
            queue_most=queue_most,
            deadline_s=10,
            numbers=self.numbers,
            scheduler=self.scheduler,
        )

    def rejected(self, reason: str) -> float:
        value = self.numbers._registry.get_sample_value(
            "p2p_worker_rejected_total", {"model": "test", "reason": reason}
        )
        assert value is not None
        return value


@pytest.fixture
def bench() -> Iterator[Bench]:
    with sharing() as bench:
        yield bench


@contextmanager
def sharing() -> Iterator[Bench]:
    decoding = LoopThreads(1, name="decode")
    try:
        yield Bench(decoding)
    finally:
        decoding.close()


@contextmanager
def no_thread_free(bench: Bench) -> Iterator[None]:
    """While the only decoding thread is busy with something else."""
    go = threading.Event()
    bench.decoding.submit(go.wait, 10)
    try:
        yield
    finally:
        go.set()


def encoded(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def soon() -> float:
    return time.monotonic() + 10


@dataclass(frozen=True)
class Asked:
    """One request: the values of its images (None: not decodable), and what becomes of its caller."""

    values: tuple[int | None, ...]
    fate: str
    to_new: bool


ASKED = st.builds(
    Asked,
    values=st.lists(st.one_of(st.integers(0, 255), st.sampled_from([POISON, None])), min_size=1, max_size=3).map(tuple),
    fate=st.sampled_from(["patient", "patient", "patient", "cancelled", "expired"]),
    to_new=st.booleans(),
)


@given(
    asked=st.lists(ASKED, min_size=1, max_size=12),
    device=st.sampled_from(["cpu", "gpu"]),
    fixed=st.sampled_from([None, (1, 2, 4, 8)]),
    cap=st.sampled_from([1, 2, 4]),
    streams=st.sampled_from([1, 2]),
)
@settings(max_examples=40, deadline=None)
def test_every_caller_gets_exactly_its_own(
    asked: list[Asked], device: str, fixed: tuple[int, ...] | None, cap: int, streams: int
) -> None:
    """Whatever is damaged, cancelled, expires or fails, with two slots or one, padded or not, one batch at a time or
    two, while one version is replaced by another: every other caller gets its own images' answers, in order, from
    the version it asked.
    """

    async def scenario(bench: Bench) -> None:
        old, new = (Naming(version, device=device, fixed=fixed) for version in (1, 2))
        old.go.clear()
        first, second = (bench.predictor(engine, cap=cap, streams=streams) for engine in (old, new))
        async with second:
            async with first:
                held = asyncio.create_task(first.predict([encoded(7)], deadline_s=soon()))
                await until(lambda: old.sizes, every_s=0.001)
                tasks = [asyncio.create_task(_ask(second if one.to_new else first, one)) for one in asked]
                await until(lambda: _settled(asked, tasks, (first, second)), every_s=0.001)
                for one, task in zip(asked, tasks, strict=True):
                    if one.fate == "cancelled":
                        task.cancel()
                old.go.set()
                await asyncio.wait_for(first.batcher.drained(), 5)
            old.close()
            assert (await held)[0][0] == 7
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for one, outcome in zip(asked, outcomes, strict=True):
            _check(one, outcome)

    with sharing() as bench:
        asyncio.run(scenario(bench))


async def _ask(predictor: Predictor, one: Asked) -> list[Scores]:
    images = [b"damaged" if value is None else encoded(value) for value in one.values]
    return await predictor.predict(images, deadline_s=time.monotonic() + (0.003 if one.fate == "expired" else 10))


def _settled(
    asked: list[Asked], tasks: list[asyncio.Task[list[Scores]]], predictors: tuple[Predictor, Predictor]
) -> bool:
    """Whether every request either has its answer or has come to the engine: none is on its way any more.

    One image more is there, which is held in the engine.
    """
    waiting = sum(len(one.values) for one, task in zip(asked, tasks, strict=True) if not task.done())
    return waiting + 1 == sum(len(predictor.batcher._queue) + predictor.batcher.running for predictor in predictors)


def _check(one: Asked, outcome: object) -> None:
    refusals: tuple[type[BaseException], ...] = ()
    if one.fate == "cancelled":
        refusals += (asyncio.CancelledError,)
    if one.fate == "expired":
        refusals += (DeadlinePassed, Busy)
    if None in one.values:
        assert isinstance(outcome, (NotAnImage, BadRequest, *refusals))
    elif POISON in one.values:
        assert type(outcome) is WorkerError or isinstance(outcome, refusals)
    elif isinstance(outcome, list):  # also where it was cancelled or late, but served before that
        assert [(int(row[0]), int(row[1])) for row in outcome] == [(v, 2 if one.to_new else 1) for v in one.values]
    else:
        assert isinstance(outcome, refusals), outcome


async def test_a_client_that_hangs_up_before_its_image_is_decoded_costs_nothing(bench: Bench) -> None:
    """An image whose caller is gone while it waits for a decoding thread is neither decoded nor predicted."""
    engine = Naming()
    async with bench.predictor(engine) as predictor:
        with no_thread_free(bench):
            gone = asyncio.create_task(predictor.predict([encoded(1)], deadline_s=soon()))
            await until(lambda: predictor.batcher.depth == 1)
            gone.cancel()
            await asyncio.wait([gone])
            assert (predictor.batcher.depth, predictor.batcher.held_bytes) == (0, 0)
        assert (await predictor.predict([encoded(2)], deadline_s=soon()))[0][0] == 2
    assert (engine.sizes, bench.rejected("gone")) == ([1], 1)


async def test_an_image_that_is_late_before_it_is_decoded_is_not_decoded(bench: Bench) -> None:
    """Where the deadline passes while an image waits for a decoding thread, its caller gets DeadlinePassed."""
    async with bench.predictor(Naming()) as predictor:
        with no_thread_free(bench):
            late = asyncio.create_task(predictor.predict([b"would be damaged"], deadline_s=time.monotonic() + 0.3))
            await asyncio.sleep(0.3)  # that caller's time
        with pytest.raises(DeadlinePassed):
            await late
    assert bench.rejected("expired") == 1


async def test_images_that_wait_for_a_thread_count_as_waiting(bench: Bench) -> None:
    """The bound on waiting images holds before they are decoded, and is checked before a body is read."""
    async with bench.predictor(Naming(), queue_most=2) as predictor:
        with no_thread_free(bench):
            waiting = asyncio.create_task(predictor.predict([encoded(1), encoded(2)], deadline_s=soon()))
            await until(lambda: predictor.batcher.depth == 2)
            with pytest.raises(Busy), predictor.receiving(deadline_s=soon()):
                raise AssertionError("the body was read")
            with pytest.raises(Busy):
                await predictor.predict([encoded(3)], deadline_s=soon())
        assert [int(row[0]) for row in await waiting] == [1, 2]
    assert bench.rejected("queue") == 2


async def test_the_memory_of_waiting_images_is_bounded(bench: Bench) -> None:
    """Beyond the bound in bytes images are refused; what was held is let go with every answer."""
    engine = Naming()
    engine.go.clear()
    batcher = Batcher(
        engine.predict, pace=PACE, queue_most=100, queue_bytes_most=5, numbers=bench.numbers.model("test")
    )
    image = np.zeros((1, 1, 3), np.uint8)
    async with batcher:
        first = asyncio.create_task(batcher.submit(image, deadline_s=soon()))
        await until(lambda: batcher.running == 1)
        with pytest.raises(Busy, match="memory"):
            await batcher.submit(image, deadline_s=soon())
        engine.go.set()
        await first
        assert batcher.held_bytes == 0
        await batcher.submit(image, deadline_s=soon())
    assert bench.rejected("memory") == 1


async def one_and_seven_behind_it(predictor: Predictor, engine: Naming) -> list[int]:
    """What eight images are named, of which the first is being predicted while four of the others get ready."""
    tasks = [asyncio.create_task(predictor.predict([encoded(0)], deadline_s=soon()))]
    await until(lambda: predictor.batcher.running == 1)
    tasks += [asyncio.create_task(predictor.predict([encoded(v)], deadline_s=soon())) for v in range(1, 8)]
    await until(lambda: (predictor.batcher.running, predictor.batcher.depth) == (5, 3))
    engine.go.set()
    return [int((await task)[0][0]) for task in tasks]


async def test_an_accelerator_gets_its_next_batch_assembled_ahead(bench: Bench) -> None:
    """While a batch runs beside the cores, the next full one is made one array, padded to a size it knows."""
    engine = Naming(device="gpu", fixed=(1, 2, 4))
    engine.go.clear()
    async with bench.predictor(engine) as predictor:
        assert await one_and_seven_behind_it(predictor, engine) == [*range(8)]
    assert (engine.sizes, engine.stacked) == ([1, 4, 4], [True] * 3)


async def test_an_engine_that_uploads_gets_every_batch_uploaded(bench: Bench) -> None:
    """In place of an array on the host: a batch that runs at once, and one that is uploaded while another runs."""

    class Uploaded(list[NDArray[np.uint8]]):
        pass

    class Uploading(Naming):
        def upload(self, images: Sequence[NDArray[np.uint8]]) -> Uploaded:
            missing = padded_size(len(images), (1, 2, 4)) - len(images)
            return Uploaded([*images, *[images[-1]] * missing])

        def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            assert isinstance(images, Uploaded)
            return super().predict(images)

    engine = Uploading(device="gpu:0", fixed=(1, 2, 4))
    engine.go.clear()
    async with bench.predictor(engine) as predictor:
        assert await one_and_seven_behind_it(predictor, engine) == [*range(8)]
    assert engine.sizes == [1, 4, 4]


async def test_who_leaves_a_batch_assembled_ahead_is_not_predicted(bench: Bench) -> None:
    """A caller that hangs up after its batch was assembled costs no prediction, and all others get their own."""
    engine = Naming(device="gpu", fixed=(1, 2, 4))
    engine.go.clear()
    async with bench.predictor(engine) as predictor:
        tasks = [asyncio.create_task(predictor.predict([encoded(v)], deadline_s=soon())) for v in range(1)]
        await until(lambda: predictor.batcher.running == 1)
        tasks += [asyncio.create_task(predictor.predict([encoded(v)], deadline_s=soon())) for v in (9, 1, 2, 3, 4)]
        await until(lambda: (predictor.batcher.running, predictor.batcher.depth) == (5, 1))
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        engine.go.set()
        assert [int((await task)[0][0]) for task in (tasks[0], *tasks[2:])] == [0, 1, 2, 3, 4]
    assert 9 not in engine.seen


async def test_models_that_share_the_cores_take_turns(bench: Bench) -> None:
    """Two models with full queues run batch by batch in turn, never at once."""
    order: list[int] = []

    class Ordered(Naming):
        def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            assert not busy.locked()
            with busy:
                order.append(self.version)
                return super().predict(images)

    busy = threading.Lock()
    engines = [Ordered(version) for version in (1, 2)]
    engines[0].go.clear()
    images = [np.full((1, 1, 3), value, np.uint8) for value in range(16)]
    async with bench.predictor(engines[0]) as one, bench.predictor(engines[1]) as two:
        asking = [asyncio.create_task(p.predict_arrays(images, deadline_s=soon())) for p in (one, two)]
        await until(lambda: one.batcher.running)
        engines[0].go.set()
        for task in asking:
            assert [int(row[0]) for row in await task] == [*range(16)]
    assert order == [1, 2] * 4


async def test_what_waits_when_a_batcher_closes_is_refused(bench: Bench) -> None:
    """A batcher that closes before its queue is empty leaves nobody waiting for ever."""
    engine = Naming()
    engine.go.clear()
    async with bench.predictor(engine) as predictor:
        tasks = [asyncio.create_task(predictor.predict([encoded(v)], deadline_s=soon())) for v in range(9)]
        await until(lambda: len(predictor.batcher._queue) + predictor.batcher.running == 9)
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    engine.go.set()
    assert all(isinstance(outcome, Busy) for outcome in outcomes)


async def test_numbers_tell_of_each_stage_and_of_loaded_versions(bench: Bench) -> None:
    """Queue depth and memory are asked for when the numbers are; a version shows as long as it is loaded."""
    async with bench.predictor(Naming()) as predictor:
        async with bench.predictor(Naming()):  # the same version, loaded anew
            pass
        with no_thread_free(bench):
            waiting = asyncio.create_task(predictor.predict([encoded(1)], deadline_s=soon()))
            await until(lambda: predictor.batcher.depth == 1)
            text = generate_latest(bench.numbers._registry).decode()
            assert 'p2p_worker_queue_depth{model="test"} 1.0' in text
            assert 'p2p_worker_model_info{engine="naming",model="test",version="1"} 1.0' in text
        await waiting
    await asyncio.sleep(0)  # a batch is counted when its answers are on their way
    text = generate_latest(bench.numbers._registry).decode()
    for stage in ("decode", "queue", "predict"):
        assert f'p2p_worker_stage_seconds_count{{model="test",stage="{stage}"}} 1.0' in text
    assert 'p2p_worker_queue_depth{model="test"} 0.0' in text
    assert "p2p_worker_model_info{" not in text
    assert "process_cpu_seconds_total" in text


@contextmanager
def decoders(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the threads that decode images from now on."""
    names: list[str] = []
    decode_here = Model.decode

    def named(model: Model, data: bytes, share: Share | None = None) -> NDArray[np.uint8]:
        names.append(threading.current_thread().name)
        return decode_here(model, data, share)

    monkeypatch.setattr(Model, "decode", named)
    yield names


def quick(value: int) -> bytes:
    """A JPEG of one pixel."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1), value).save(buffer, "JPEG", quality=100)
    return buffer.getvalue()


async def test_a_lone_image_is_decoded_by_the_thread_that_predicts_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the threads that decode are busy; its decoding is counted and noted like any other's, and first."""
    with decoders(bench, monkeypatch) as names, no_thread_free(bench):
        async with bench.predictor(Naming()) as predictor:
            with noting_stages() as stages:
                scores = await predictor.predict([quick(9)], deadline_s=soon())
            assert (scores[0][0], predictor.batcher.held_bytes) == (9, 0)
    assert names == ["predict_0"]
    assert list(stages.seconds) == ["decode", "queue", "predict"]
    await asyncio.sleep(0)  # a batch is counted when its answers are on their way
    text = generate_latest(bench.numbers._registry).decode()
    for stage in ("decode", "queue", "predict"):
        assert f'p2p_worker_stage_seconds_count{{model="test",stage="{stage}"}} 1.0' in text


async def test_an_image_beside_others_is_decoded_while_they_are_predicted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it waits for its prediction only; several of one request, and slow kinds, go the same way."""
    engine = Naming()
    engine.go.clear()
    with decoders(bench, monkeypatch) as names:
        async with bench.predictor(engine) as predictor:
            first = asyncio.create_task(predictor.predict([quick(1)], deadline_s=soon()))
            await until(lambda: engine.sizes, every_s=0.001)
            second = asyncio.create_task(predictor.predict([quick(2)], deadline_s=soon()))
            await until(lambda: len(names) == 2, every_s=0.001)
            engine.go.set()
            await asyncio.gather(first, second)
            await predictor.predict([quick(3), quick(4)], deadline_s=soon())
            await predictor.predict([encoded(5)], deadline_s=soon())
    assert names == ["predict_0"] + ["decode_0"] * 4
    assert engine.seen == [1, 2, 3, 4, 5]


async def test_a_lone_image_that_is_damaged_is_refused_like_any_other(bench: Bench) -> None:
    """The engine is not asked, and the next image is answered."""
    engine = Naming()
    async with bench.predictor(engine) as predictor:
        with pytest.raises(BadRequest, match="damaged or cut short"):
            await predictor.predict([quick(9)[:-60]], deadline_s=soon())
        assert engine.sizes == []
        assert (await predictor.predict([quick(8)], deadline_s=soon()))[0][0] == 8
        assert predictor.batcher.held_bytes == 0


async def test_a_lone_image_that_is_late_or_whose_caller_leaves_costs_no_prediction(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the deadline passes or the caller leaves during its decoding, the engine is not asked."""
    engine, go, begun = Naming(), threading.Event(), threading.Event()
    decode_here = Model.decode

    def held(model: Model, data: bytes, share: Share | None = None) -> NDArray[np.uint8]:
        begun.set()
        go.wait(10)
        return decode_here(model, data, share)

    monkeypatch.setattr(Model, "decode", held)
    async with bench.predictor(engine) as predictor:
        gone = asyncio.create_task(predictor.predict([quick(1)], deadline_s=soon()))
        await asyncio.to_thread(begun.wait, 5)
        gone.cancel()
        await asyncio.wait([gone])
        go.set()
        await asyncio.wait_for(predictor.batcher.drained(), 5)
        go.clear()
        begun.clear()
        late_s = time.monotonic() + 0.5
        late = asyncio.create_task(predictor.predict([quick(2)], deadline_s=late_s))
        await asyncio.to_thread(begun.wait, 5)
        await until(lambda: time.monotonic() > late_s, every_s=0.001)
        go.set()
        with pytest.raises(DeadlinePassed):
            await late
    assert engine.sizes == []
    assert (bench.rejected("gone"), bench.rejected("expired")) == (1, 1)
