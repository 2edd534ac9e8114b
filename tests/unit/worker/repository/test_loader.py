"""Workers of one machine learn their pace one after the other."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from tests.support.small_models import brightness
from worker.repository.loader import measure_alone
from worker.system.file_lock import alone


def test_the_pace_is_learned_when_others_are_done(tmp_path: Path) -> None:
    """Who starts while another learns waits until that one has ended, and only one is at it."""
    lock, done = tmp_path / "cache" / "pace.lock", threading.Event()
    lock.parent.mkdir()

    def learn() -> None:
        measure_alone(brightness(), lock=lock)
        done.set()

    learner = threading.Thread(target=learn)
    with alone(lock) as held:
        assert held
        learner.start()
        assert not done.wait(0.3)
    assert done.wait(10)
    learner.join()


def test_one_that_hangs_keeps_nobody_waiting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a while the pace is learned beside whoever holds the lock; without a place for the lock, at once."""
    lock = tmp_path / "pace.lock"
    with alone(lock), caplog.at_level(logging.WARNING):
        assert measure_alone(brightness(), lock=lock, within_s=0.1).cap >= 1
    assert "learning beside them" in caplog.text
    assert measure_alone(brightness(), lock=lock / "no folder" / "pace.lock").cap >= 1
