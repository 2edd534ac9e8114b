"""Samples what the processes of a deployment use, in a thread of its own, until its block ends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.soak.usage import Usage, usage

SAMPLE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A process whose use is sampled; `tasks` asks how many unfinished tasks its event loop has."""

    pid: int
    tasks: Callable[[], int]


@dataclass(slots=True)
class Samples:
    """The samples of each process, oldest first, and what ended the sampling early."""

    taken: dict[str, list[Usage]] = field(default_factory=dict)
    error: Exception | None = None


@contextmanager
def sampled(watched: Mapping[str, Watched]) -> Iterator[Samples]:
    """Samples of all processes, which grow until the block ends."""
    samples = Samples({name: [] for name in watched})
    over = threading.Event()
    began_s = time.monotonic()

    def sample_all() -> None:
        for name, process in watched.items():
            at_s = time.monotonic() - began_s
            with contextlib.suppress(TimeoutError):  # the machine is too busy to tell: the next sample will do
                samples.taken[name].append(usage(process.pid, at_s=at_s, tasks=process.tasks()))

    def sample() -> None:
        try:
            while not over.wait(SAMPLE_EVERY_S):
                sample_all()
        except Exception as error:
            samples.error = error

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
