"""Quotas, simulated: one greedy and one modest caller at a worker, and what the modest one's latencies become.

    python -m benchmarks.simulations.quotas [--requests 20000]

Requests of the modest caller arrive at random (Poisson) at 20% of what the engine does with full batches. The greedy
caller sends as much as it can: 200 requests are always under way, and one that is refused (429) is sent again after its
Retry-After, as p2pclient does. The worker has one engine, whose seconds by batch size are those of pace.json, takes
what is queued as soon as the engine is free, and has 256 places. Quotas and queue are the product's own
(`registry.security.quota`, `worker.batching.fair_queue`); beside the turns of callers the order of arrival is shown.
The seed is fixed: every run of one setting prints the same. Decoding is not simulated, nor what refusing costs.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from benchmarks.harness.summary import markdown_table
from benchmarks.simulations.batching import read_times
from benchmarks.simulations.simulated_worker import BatchTimes
from registry.security.caller import Caller, Quota, Role
from registry.security.quota import OverQuota, Places, Quotas
from worker.batching.fair_queue import FairQueue
from worker.batching.policy import batch_size

PLACES = 256
MODEST_SHARE = 0.2
GREEDY_UNDER_WAY = 200
WARM_UP = 0.1  # the share of the modest caller's requests that is not counted

HEAD = (
    "greedy caller", "p99 in the order of arrival, ms", "p50 in turns, ms", "p99 in turns, ms", "p99 against alone",
    "greedy answered per second", "refused per second",
)  # fmt: skip

SETTINGS: dict[str, Quota | None] = {
    "none: the modest one is alone": None,
    "without a quota": Quota(),
    "concurrency 0.25": Quota(concurrency=0.25),
    "concurrency 1/256, one image at a time": Quota(concurrency=1 / PLACES),
    "rate 20": Quota(rate_hz=20),
    "rate 10": Quota(rate_hz=10),
    "rate 5": Quota(rate_hz=5),
    "rate 2": Quota(rate_hz=2),
    "rate 1": Quota(rate_hz=1),
}
"""The greedy caller's quotas; None: there is no greedy caller."""

MODEST = Caller("modest", frozenset({Role.CLIENT}))


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """One image in the queue."""

    arrived_s: float
    caller: Caller
    places: Places | None


@dataclass(slots=True)
class Simulation:
    """One run: a modest caller beside a greedy one with this quota, or alone where there is none.

    `turns`: callers take turns; otherwise images leave as they came.
    """

    times: BatchTimes
    rate_hz: float
    greedy: Caller | None
    turns: bool = True
    quotas: Quotas = field(default_factory=lambda: Quotas(places=PLACES))
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    events: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    queue: FairQueue[Waiting] = field(default_factory=FairQueue)
    latencies_s: list[float] = field(default_factory=list)
    greedy_answered: int = 0
    refused: int = 0
    left: int = 0
    number: int = 0
    now_s: float = 0.0
    running: bool = False

    def run(self, requests: int) -> None:
        """Until so many requests of the modest caller are answered."""
        self.left = requests
        self.at(0.0, self.modest_arrives)
        for _ in range(GREEDY_UNDER_WAY if self.greedy else 0):
            self.at(self.chance.random(), self.greedy_arrives)
        while len(self.latencies_s) < requests:
            self.now_s, _, what = heapq.heappop(self.events)
            what(self.now_s)

    def at(self, time_s: float, what: Callable[[float], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (time_s, self.number, what))

    def modest_arrives(self, now_s: float) -> None:
        self.left -= 1
        if self.left > 0:
            self.at(now_s + self.chance.expovariate(self.rate_hz), self.modest_arrives)
        self.add(Waiting(now_s, MODEST, None))
        self.begin(now_s)

    def greedy_arrives(self, now_s: float) -> None:
        assert self.greedy is not None
        try:
            self.quotas.take(self.greedy, now_s=now_s)
            places = self.quotas.place(self.greedy)
        except OverQuota as over:
            self.refused += 1
            # Retry-After has whole seconds; clients do not all come back at the same moment.
            self.at(now_s + max(1, math.ceil(over.retry_after_s)) + self.chance.random() * 0.1, self.greedy_arrives)
            return
        self.add(Waiting(now_s, self.greedy, places))
        self.begin(now_s)

    def add(self, image: Waiting) -> None:
        self.queue.add(image.caller.name if self.turns else "", [image])

    def begin(self, now_s: float) -> None:
        if self.running or not self.queue.count:
            return
        size = batch_size(self.times.pace, queued=self.queue.count, sizes=())
        batch = [self.queue.pop() for _ in range(size)]
        self.running = True
        self.at(now_s + self.times.batch_s(size), partial(self.end, batch))

    def end(self, batch: list[Waiting], now_s: float) -> None:
        self.running = False
        for image in batch:
            if image.places is not None:
                image.places.release()
            if image.caller is MODEST:
                self.latencies_s.append(now_s - image.arrived_s)
            else:
                self.greedy_answered += 1
                self.at(now_s + 0.001, self.greedy_arrives)
        self.begin(now_s)


def latencies(simulation: Simulation, requests: int) -> tuple[float, float]:
    """The modest caller's median and 99th percentile after a run, in seconds."""
    simulation.run(requests)
    latencies_s = sorted(simulation.latencies_s[int(WARM_UP * requests) :])
    return latencies_s[int(0.5 * len(latencies_s))], latencies_s[int(0.99 * len(latencies_s))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000, help="requests of the modest caller (20000)")
    options = parser.parse_args()
    times = read_times()
    rate_hz = MODEST_SHARE / times.pace.image_s
    print(f"{times.machine}; {1 / times.pace.image_s:.0f} images per second at most, {rate_hz:.0f} of them modest")
    alone_s, rows = 0.0, []
    for name, quota in SETTINGS.items():
        greedy = None if quota is None else Caller("greedy", frozenset({Role.CLIENT}), quota=quota)
        by_arrival, simulation = (Simulation(times, rate_hz, greedy, turns) for turns in (False, True))
        _, arrival_p99_s = latencies(by_arrival, options.requests)
        p50_s, p99_s = latencies(simulation, options.requests)
        alone_s = alone_s or p99_s
        per_s = [count / simulation.now_s for count in (simulation.greedy_answered, simulation.refused)]
        figures = (
            f"{arrival_p99_s * 1000:.0f}",
            f"{p50_s * 1000:.0f}",
            f"{p99_s * 1000:.0f}",
            f"{p99_s / alone_s - 1:+.0%}",
        )
        rows.append([name, *figures, *(f"{each:.1f}" for each in per_s)])
    print(markdown_table(HEAD, rows))


if __name__ == "__main__":
    main()
