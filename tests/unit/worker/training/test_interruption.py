"""The first Ctrl-C asks a training to stop, the second one ends it."""

from __future__ import annotations

import signal

import pytest

from worker.training.interruption import ctrl_c_asks


def test_the_first_is_noted_and_the_second_ends() -> None:
    """Between them the training can keep what it has; afterwards Ctrl-C is what it was before."""
    before, said = signal.getsignal(signal.SIGINT), list[str]()
    with ctrl_c_asks(said.append) as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        assert said == ["Stopping: the best so far is kept. Ctrl-C again ends at once."]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
