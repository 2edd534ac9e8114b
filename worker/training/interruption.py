"""Ctrl-C while a model is trained: the first one asks to stop with what there is, the second one ends the program."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Stopped = Callable[[], bool]
"""Whether the training is to stop with what it has."""


@contextmanager
def ctrl_c_asks(say: Callable[[str], None]) -> Iterator[Stopped]:
    """Within this, Ctrl-C is noted; yields whether it was. For the main thread."""
    asked = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("Stopping: the best so far is kept. Ctrl-C again ends at once.")

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
