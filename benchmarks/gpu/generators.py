"""The load of several generator processes together: one alone may be slower than a worker on a GPU."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.gpu.setup import WARM_S, core_count
from benchmarks.harness.connections import Target
from benchmarks.harness.load_generator import closed_loop
from benchmarks.harness.summary import percentile

MOST = 4


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """What the clients of a turn got: answers of 200 per second, their latencies, other answers, cores used."""

    per_s: float
    ms: tuple[float, ...]
    failed: int
    generator_cores: float

    def percentile_ms(self, share: float) -> float:
        """A percentile of the latencies; NaN where there are none."""
        return percentile(self.ms, share) if self.ms else float("nan")

    @property
    def note(self) -> str:
        """What a reader of the figure should know."""
        failed = f"{self.failed} not answered with 200" if self.failed else ""
        return ", ".join(filter(None, (failed, f"the load used {self.generator_cores:.2f} cores")))


class Generators:
    """Processes that send closed loops; make them with `generators`."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self._pool = pool
        self._count = count

    def load(self, target: Target, *, clients: int, seconds: float) -> LoadSummary:
        """Let `clients` clients ask, each waiting for its answers, and sum up what they got."""
        count = min(self._count, clients)
        shares = [clients // count + (number < clients % count) for number in range(count)]
        parts = list(self._pool.map(_turn, [target] * count, shares, [seconds] * count))
        return LoadSummary(
            sum(part.per_s for part in parts),
            tuple(ms for part in parts for ms in part.ms),
            sum(part.failed for part in parts),
            sum(part.generator_cores for part in parts),
        )


@contextmanager
def generators() -> Iterator[Generators]:
    """Generator processes, a quarter of the cores of them, at most four."""
    count = max(1, min(MOST, core_count() // 4))
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Generators(pool, count)


def _turn(target: Target, clients: int, seconds: float) -> LoadSummary:
    load = closed_loop(target, connections=clients, seconds=seconds, warm_s=WARM_S)
    times = tuple(answer.ms for answer in load.answers if answer.status == 200)
    return LoadSummary(load.per_s(), times, len(load.answers) - len(times), load.spent_s / load.sending_s)
