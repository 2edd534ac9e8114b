"""How a first model is measured, and how a new version is warmed while the old one serves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.models.small_models import Brightness, brightness
from worker.batching.policy import Pace, Streams
from worker.errors import OutOfMemory
from worker.inference.calibration import (
    ROUNDS,
    SERVING_ROUNDS,
    STREAM_SIZES,
    measure_exclusively,
    measure_pace,
    sizes_up_to,
    warm_while_serving,
)
from worker.system.file_lock import file_lock


class Recording(Brightness):
    """Remembers the sizes of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.sizes.append(len(images))
        return super().predict(images)


@pytest.mark.parametrize(("cap", "sizes"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_every_size_that_is_common_is_warmed(cap: int, sizes: list[int]) -> None:
    """Powers of two and the cap, none larger: each runs some times, and the cap stays."""
    assert sizes_up_to(cap) == sizes
    engine = Recording()
    pace = warm_while_serving(replace(brightness(), engine=engine), serving=Pace(cap=cap, batch_s=1.0, single_s=1.0))
    assert pace.cap == cap
    assert 0 < pace.single_s < 1.0
    assert engine.sizes == [size for size in sizes for _ in range(SERVING_ROUNDS)]


class Streaming(Recording):
    """Has two streams, and remembers the sizes of their batches, too."""

    streams = 2

    def __init__(self) -> None:
        super().__init__()
        self.streamed: list[int] = []

    def stream(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.streamed.append(len(images))
        return Brightness.predict(self, images)


def test_streams_are_warmed_where_they_serve() -> None:
    """A new version's streams are warmed and used if those of the one that serves are; else neither."""
    alone = Pace(cap=2, batch_s=1.0, single_s=1.0)
    serving = replace(alone, streams=Streams(2, Pace(cap=4, batch_s=1.0, single_s=1.0)))
    for pace, sizes in ((serving, [1, 2, 4]), (alone, [])):
        engine = Streaming()
        warmed = warm_while_serving(replace(brightness(), engine=engine), serving=pace).streams
        assert engine.streamed == [size for size in sizes for _ in range(SERVING_ROUNDS)]
        assert (warmed and (warmed.count, warmed.each.cap)) == ((2, 4) if sizes else None)


def test_a_fresh_models_streams_are_measured_together() -> None:
    """At load every size runs in all streams, and the pace knows how many there are."""
    engine = Streaming()
    slow = engine.predict

    def predict(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        time.sleep(0.005 * len(images))
        return slow(images)

    engine.predict = predict  # type: ignore[method-assign]  # so that the streams are the better way
    pace = measure_pace(replace(brightness(), engine=engine))
    assert pace.streams is not None
    assert pace.streams.count == 2
    assert sorted(engine.streamed) == sorted([*STREAM_SIZES] * 2 * (1 + ROUNDS))


def test_a_slow_model_is_not_tried_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a batch takes long, larger ones are not tried, and the cap is that size."""
    monkeypatch.setattr("worker.inference.calibration.SLOW_S", 0.0)
    assert warm_while_serving(brightness(), serving=Pace(cap=8, batch_s=1.0, single_s=1.0)).cap == 1


def test_a_first_model_is_measured_when_other_workers_are_done(tmp_path: Path) -> None:
    """A worker that starts while another measures waits until that one has ended."""
    lock, done = tmp_path / "cache" / "pace.lock", threading.Event()
    lock.parent.mkdir()

    def learn() -> None:
        measure_exclusively(brightness(), lock=lock)
        done.set()

    learner = threading.Thread(target=learn)
    with file_lock(lock) as held:
        assert held
        learner.start()
        assert not done.wait(0.3)
    assert done.wait(10)
    learner.join()


def test_a_worker_that_hangs_blocks_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a while a worker measures though another holds the lock; where no lock can be made, at once."""
    lock = tmp_path / "pace.lock"
    with file_lock(lock), caplog.at_level(logging.WARNING):
        assert measure_exclusively(brightness(), lock=lock, within_s=0.1).cap >= 1
    assert "measuring at the same time" in caplog.text
    assert measure_exclusively(brightness(), lock=lock / "no folder" / "pace.lock").cap >= 1


class Small(Recording):
    """Has memory for batches of this many images."""

    def __init__(self, fits: int) -> None:
        super().__init__()
        self._fits = fits

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        scores = super().predict(images)
        if len(images) > self._fits:
            raise OutOfMemory("Tried to allocate 2.00 GiB.")
        return scores


def test_the_cap_is_what_fits_into_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    """A size that does not fit is tried once and no larger one at all, and a line in the log says so."""
    engine = Small(4)
    with caplog.at_level(logging.WARNING):
        assert measure_pace(replace(brightness(), engine=engine)).cap <= 4
    assert engine.sizes.count(8) == 1
    assert 16 not in engine.sizes
    (line,) = caplog.messages
    assert line == "Batches stay smaller than 8, because that many failed: Tried to allocate 2.00 GiB."


def test_a_new_version_that_finds_less_memory_gets_a_smaller_cap() -> None:
    """While the old version still has its share."""
    pace = warm_while_serving(replace(brightness(), engine=Small(4)), serving=Pace(cap=16, batch_s=1.0, single_s=1.0))
    assert pace.cap == 4


def test_a_model_of_which_not_one_image_fits_is_refused() -> None:
    """No cap could be small enough."""
    with pytest.raises(OutOfMemory):
        measure_pace(replace(brightness(), engine=Small(0)))
