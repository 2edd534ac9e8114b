"""Ways of picking a worker, simulated: how evenly each spreads requests, and the latencies; one worker is 5 x slower.

    python -m benchmarks.simulations.balancing [--clients 5] [--load 0.7] [--picture docs/explanation/balancing.svg]

Requests arrive at random (Poisson) at clients that know nothing of each other. Each worker serves one request at a
time, first come first served, in an exponential time of mean 50 ms (the slow one: 250 ms). Latencies are given in units
of those 50 ms, one prediction. "ours" (two choices that avoid a slow worker) is the product's own `Balancer`;
the others are implemented here. The seed is fixed: every run of one setting prints the same.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Protocol

from benchmarks.harness.summary import markdown_row, markdown_table
from benchmarks.plots import save_balancing
from p2pclient.balancing.balancer import Balancer
from p2pclient.balancing.outlier_ejection import Outcome
from p2pclient.balancing.subsetting import SIZE
from p2pclient.types import Worker

PREDICTION_S = 0.05
SLOWER = 5.0


class Picker(Protocol):
    """Picks workers for one client, and is told when a request begins and ends."""

    def pick(self, *, now_s: float) -> Worker | None: ...

    def began(self, worker: Worker, now_s: float) -> None: ...

    def ended(self, worker: Worker, *, now_s: float, took_s: float, outcome: Outcome) -> None: ...


Way = Callable[[Sequence[Worker], random.Random], Picker]
"""Makes the picker of one client, from the workers and a source of random numbers."""


class Random:
    """Any worker."""

    def __init__(self, workers: Sequence[Worker], chance: random.Random) -> None:
        self._workers = workers
        self._chance = chance

    def pick(self, *, now_s: float) -> Worker:
        return self._chance.choice(self._workers)

    def began(self, worker: Worker, now_s: float) -> None: ...

    def ended(self, worker: Worker, *, now_s: float, took_s: float, outcome: Outcome) -> None: ...


class RoundRobin(Random):
    """One after another, from a random start."""

    def __init__(self, workers: Sequence[Worker], chance: random.Random) -> None:
        super().__init__(workers, chance)
        self._next = chance.randrange(len(workers))

    def pick(self, *, now_s: float) -> Worker:
        self._next = (self._next + 1) % len(self._workers)
        return self._workers[self._next]


class Least:
    """The worker with the fewest of this client's requests in flight; of several, the one not picked for longest."""

    def __init__(self, workers: Sequence[Worker], chance: random.Random) -> None:
        order = chance.sample(workers, len(workers))
        self._in_flight = dict.fromkeys(order, 0)
        self._levels: list[OrderedDict[Worker, None]] = [OrderedDict.fromkeys(order)]

    def pick(self, *, now_s: float) -> Worker:
        return next(iter(next(level for level in self._levels if level)))

    def began(self, worker: Worker, now_s: float) -> None:
        self._move(worker, +1)

    def ended(self, worker: Worker, *, now_s: float, took_s: float, outcome: Outcome) -> None:
        self._move(worker, -1)

    def _move(self, worker: Worker, by: int) -> None:
        level = self._in_flight[worker]
        del self._levels[level][worker]
        self._in_flight[worker] = level + by
        if level + by == len(self._levels):
            self._levels.append(OrderedDict())
        self._levels[level + by][worker] = None


class TwoByLoad(Random):
    """The less loaded of two workers, as in textbooks."""

    def __init__(self, workers: Sequence[Worker], chance: random.Random) -> None:
        super().__init__(workers, chance)
        self._in_flight = dict.fromkeys(workers, 0)

    def pick(self, *, now_s: float) -> Worker:
        return min(self._chance.sample(self._workers, 2), key=self._in_flight.__getitem__)

    def began(self, worker: Worker, now_s: float) -> None:
        self._in_flight[worker] += 1

    def ended(self, worker: Worker, *, now_s: float, took_s: float, outcome: Outcome) -> None:
        self._in_flight[worker] -= 1


def product(subset: int | None = None) -> Way:
    """The product's `Balancer`."""

    def make(workers: Sequence[Worker], chance: random.Random) -> Picker:
        balance = Balancer(subset=subset, chance=chance)
        balance.replace(workers, now_s=0.0)
        return balance

    return make


WAYS: dict[str, Way] = {
    "random": Random,
    "round robin": RoundRobin,
    "least loaded": Least,
    "two choices": TwoByLoad,
    "ours": product(),
    "ours, subset": product(SIZE),
}
"""How each client picks; the subset is the product's default, the others use all workers."""

SIZES = (20, 50, 100, 200, 500, 1000)
REQUESTS_PER_WORKER = 60
REQUESTS_AT_LEAST = 20_000


@dataclass(frozen=True)
class Result:
    """Latencies in predictions; requests of the busiest equal worker and of the slow one, in even shares."""

    p50: float
    p99: float
    p999: float
    busiest: float
    slow: float


@dataclass(slots=True)
class _Server:
    """A worker and its queue: when each request arrived, its client's picker, and whether the request counts."""

    worker: Worker
    mean_s: float
    requests: int = 0
    queue: deque[tuple[float, Picker, bool]] = field(default_factory=deque)


class Simulation:
    """One run of one setting: events in order of time, each an arrival or the end of a request."""

    def __init__(self, way: Way, *, workers: int, clients: int, load: float, requests: int, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        fleet = [Worker("sim", f"w{i}", "127.0.0.1", 1 + i) for i in range(workers)]
        self._servers = {w: _Server(w, PREDICTION_S * (1.0 if i else SLOWER)) for i, w in enumerate(fleet)}
        self._clients = [way(fleet, random.Random(self._chance.random())) for _ in range(clients)]
        self._rate = load * (workers - 1 + 1 / SLOWER) / PREDICTION_S
        self._requests = requests
        self._warm_up = requests // 5  # the number of requests that are not counted
        self._arrived = 0
        self._took: list[float] = []
        self._events: list[tuple[float, int, _Server | None]] = []

    def run(self) -> Result:
        """Until the last request is answered."""
        heappush(self._events, (0.0, 0, None))
        while self._events:
            now_s, _, server = heappop(self._events)
            if server is None:
                self._arrive(now_s)
            else:
                self._finish(server, now_s)
        times = statistics.quantiles(self._took, n=1000)
        slow, *equal = [server.requests for server in self._servers.values()]
        even = statistics.mean(equal)
        return Result(times[499], times[989], times[998], max(equal) / even, slow / even)

    def _arrive(self, now_s: float) -> None:
        self._arrived += 1
        if self._arrived < self._requests:
            heappush(self._events, (now_s + self._chance.expovariate(self._rate), self._arrived, None))
        client = self._chance.choice(self._clients)
        worker = client.pick(now_s=now_s)
        assert worker is not None, "workers neither come nor go here"
        client.began(worker, now_s)
        server = self._servers[worker]
        counts = self._arrived > self._warm_up
        server.requests += counts
        server.queue.append((now_s, client, counts))
        if len(server.queue) == 1:
            self._begin(server, now_s)

    def _finish(self, server: _Server, now_s: float) -> None:
        arrived_s, client, counts = server.queue.popleft()
        client.ended(server.worker, now_s=now_s, took_s=now_s - arrived_s, outcome=Outcome.OK)
        if counts:
            self._took.append((now_s - arrived_s) / PREDICTION_S)
        if server.queue:
            self._begin(server, now_s)

    def _begin(self, server: _Server, now_s: float) -> None:
        done_s = now_s + self._chance.expovariate(1 / server.mean_s)
        heappush(self._events, (done_s, -server.worker.port, server))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=5, help="how many clients share the load (5)")
    parser.add_argument("--load", type=float, default=0.7, help="part of the workers' capacity that is asked for (0.7)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of workers")
    parser.add_argument("--picture", type=Path, help="draw the 99th percentiles as SVG")
    options = parser.parse_args()
    print(f"{options.clients} clients, load {options.load:.0%}, one worker {SLOWER:g} x slower; 1 = one prediction")
    head = ["workers", "way to pick", "p50", "p99", "p99.9", "busiest / mean", "slow / mean"]
    print(markdown_table(head, ()))
    p99s: dict[str, dict[int, float]] = {name: {} for name in WAYS}
    for workers in options.sizes:
        for name, way in WAYS.items():
            requests = max(REQUESTS_AT_LEAST, REQUESTS_PER_WORKER * workers)
            simulation = Simulation(way, workers=workers, clients=options.clients, load=options.load, requests=requests)
            result = simulation.run()
            p99s[name][workers] = result.p99
            latencies = [f"{time:.1f}" for time in (result.p50, result.p99, result.p999)]
            row = [str(workers), name, *latencies, f"{result.busiest:.2f}", f"{result.slow:.2f}"]
            print(markdown_row(row), flush=True)
    if options.picture:
        save_balancing(options.picture, p99s, clients=options.clients, load=options.load, slower=SLOWER)


if __name__ == "__main__":
    main()
