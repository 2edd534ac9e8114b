"""Batching policies beside each other, simulated: ours, greedy, and fixed windows of 10 and 100 ms.

    python -m benchmarks.batching_sim [--images 20000] [--picture docs/batching.svg]
    python -m benchmarks.batching_sim --measure        # first measures the pace table on this machine, and keeps it

Arrivals (Poisson, and recorded ones of `benchmarks.record_arrivals`, stretched in time) -> decoding threads -> the
policy -> one engine, whose seconds by batch size were measured. Each at 20, 50, 80 and 95% of what the engine can do
with full batches. Ours is `worker.batching` itself, as the worker calls it. The simulation knows no noise, and
decoding takes nothing from the engine: it compares policies, and says nothing of what a machine gives.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.batching_picture import picture
from worker.batching import Pace, batch_size, gather_s, learn_pace

HERE = Path(__file__).parent
PACE_FILE, ARRIVALS_FILE = HERE / "pace.json", HERE / "arrivals.json"
LOADS = (0.2, 0.5, 0.8, 0.95)
DECODERS = 2
WARMING = 0.05
"""The share of the arrivals, at the beginning, that is not counted: the queue starts empty."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a policy may know when the engine is free and something is queued; times in seconds."""

    queued: int
    coming: int
    just_finished: bool
    oldest_since_s: float
    free_since_s: float


Policy = Callable[[Pace, Seen], float]
"""The time until which a free engine waits for more; a full batch waits for nothing."""


def ours(pace: Pace, seen: Seen) -> float:
    wait_s = gather_s(pace, queued=seen.queued, coming=seen.coming, just_finished=seen.just_finished)
    return seen.free_since_s + wait_s


def greedy(_: Pace, seen: Seen) -> float:
    return seen.free_since_s


def window(window_s: float) -> Policy:
    """A batch begins when it is full, or when its first image has waited so long."""
    return lambda _, seen: seen.oldest_since_s + window_s


POLICIES: Mapping[str, Policy] = {
    "window of 100 ms": window(0.1),
    "window of 10 ms": window(0.01),
    "greedy": greedy,
    "ours": ours,
}


@dataclass(frozen=True, slots=True)
class Table:
    """The engine's seconds by batch size, and one image's to decode, as measured."""

    seconds: Mapping[int, float]
    decode_s: float
    machine: str

    @property
    def pace(self) -> Pace:
        return learn_pace(self.seconds)

    def batch_s(self, size: int) -> float:
        """Between measured sizes on a straight line."""
        above = min(known for known in self.seconds if known >= size)
        if above == size:
            return self.seconds[size]
        below = max(known for known in self.seconds if known < size)
        share = (size - below) / (above - below)
        return self.seconds[below] + share * (self.seconds[above] - self.seconds[below])


@dataclass(frozen=True, slots=True)
class Outcome:
    """Latencies from arrival to answer, sorted, in seconds; images a second; images a batch."""

    latencies_s: Sequence[float]
    images_s: float
    mean_batch: float

    def quantile_s(self, share: float) -> float:
        return self.latencies_s[min(len(self.latencies_s) - 1, int(share * len(self.latencies_s)))]


@dataclass(slots=True)
class _Worker:
    """The simulated worker: events are (time, number, what happens then)."""

    table: Table
    policy: Policy
    events: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    undecoded: deque[float] = field(default_factory=deque)
    queue: deque[tuple[float, float]] = field(default_factory=deque)
    answered: list[tuple[float, float]] = field(default_factory=list)
    batches: int = 0
    decoding: int = 0
    running: bool = False
    just_finished: bool = False
    free_since_s: float = 0.0
    number: int = 0

    def at(self, time_s: float, what: Callable[[float], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (time_s, self.number, what))

    def run(self, arrivals_s: Sequence[float]) -> None:
        for arrival_s in arrivals_s:
            self.at(arrival_s, self.arrive)
        while self.events:
            now_s, _, what = heapq.heappop(self.events)
            what(now_s)

    def arrive(self, now_s: float) -> None:
        self.undecoded.append(now_s)
        self.decode(now_s)

    def decode(self, now_s: float) -> None:
        while self.undecoded and self.decoding < DECODERS:
            arrived_s = self.undecoded.popleft()
            self.decoding += 1
            self.at(now_s + self.table.decode_s, lambda at_s, arrived_s=arrived_s: self.decoded(at_s, arrived_s))

    def decoded(self, now_s: float, arrived_s: float) -> None:
        self.decoding -= 1
        self.queue.append((arrived_s, now_s))
        self.decode(now_s)
        self.consider(now_s)

    def consider(self, now_s: float) -> None:
        if self.running or not self.queue:
            return
        pace = self.table.pace
        seen = Seen(
            queued=len(self.queue),
            coming=self.decoding + len(self.undecoded),
            just_finished=self.just_finished,
            oldest_since_s=self.queue[0][1],
            free_since_s=self.free_since_s,
        )
        until_s = self.policy(pace, seen)
        if len(self.queue) < pace.cap and until_s > now_s:
            self.at(until_s, self.consider)
            return
        self.begin(now_s, batch_size(pace, queued=len(self.queue), sizes=()))

    def begin(self, now_s: float, size: int) -> None:
        arrived = [self.queue.popleft()[0] for _ in range(size)]
        self.running, self.batches = True, self.batches + 1
        self.at(now_s + self.table.batch_s(size), lambda at_s: self.finish(at_s, arrived))

    def finish(self, now_s: float, arrived: Sequence[float]) -> None:
        self.answered += [(arrived_s, now_s) for arrived_s in arrived]
        self.running, self.free_since_s = False, now_s
        self.just_finished = bool(self.queue)
        self.consider(now_s)


def simulate(table: Table, policy: Policy, arrivals_s: Sequence[float]) -> Outcome:
    """One policy under these arrivals; their beginning is not counted."""
    worker = _Worker(table, policy)
    worker.run(arrivals_s)
    counted = sorted(worker.answered)[int(WARMING * len(arrivals_s)) :]
    return Outcome(
        latencies_s=sorted(done_s - arrived_s for arrived_s, done_s in counted),
        images_s=len(worker.answered) / (max(done_s for _, done_s in worker.answered) - arrivals_s[0]),
        mean_batch=len(worker.answered) / worker.batches,
    )


def poisson(rate: float, images: int) -> list[float]:
    """Times of arrival in seconds; the same at every call."""
    chance, now_s, times_s = random.Random(1), 0.0, []
    for _ in range(images):
        now_s += chance.expovariate(rate)
        times_s.append(now_s)
    return times_s


def recorded(rate: float, images: int, gaps_ms: Sequence[float]) -> list[float]:
    """The recorded gaps, again and again, stretched so that `rate` images a second arrive in the mean."""
    stretch = len(gaps_ms) / sum(gaps_ms) / rate
    now_s, times_s = 0.0, []
    for number in range(images):
        now_s += gaps_ms[number % len(gaps_ms)] * stretch
        times_s.append(now_s)
    return times_s


Results = Mapping[str, Mapping[str, Mapping[float, Outcome]]]
"""By arrivals, policy and load."""


def compare(table: Table, gaps_ms: Sequence[float], images: int) -> Results:
    """Every policy under both kinds of arrivals at every load."""
    full = 1 / table.pace.image_s
    ways: Mapping[str, Callable[[float], list[float]]] = {
        "Poisson arrivals": lambda rate: poisson(rate, images),
        "recorded arrivals": lambda rate: recorded(rate, images, gaps_ms),
    }
    return {
        way: {
            name: {load: simulate(table, policy, arrivals(load * full)) for load in LOADS}
            for name, policy in POLICIES.items()
        }
        for way, arrivals in ways.items()
    }


def rows(results: Results) -> Iterator[str]:
    """The Markdown table of docs/batching.md."""
    yield "| arrivals | load | policy | p50, ms | p99, ms | images a second | images a batch |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for way, policies in results.items():
        for load in LOADS:
            for name, outcomes in policies.items():
                outcome = outcomes[load]
                p50, p99 = (outcome.quantile_s(share) * 1000 for share in (0.5, 0.99))
                yield (
                    f"| {way} | {load:.0%} | {name} | {p50:.1f} | {p99:.1f} | {outcome.images_s:.1f} "
                    f"| {outcome.mean_batch:.1f} |"
                )


def read_table() -> Table:
    raw = json.loads(PACE_FILE.read_text())
    seconds = {int(size): took_ms / 1000 for size, took_ms in raw["batch_ms"].items()}
    return Table(seconds, raw["decode_ms"] / 1000, raw["machine"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--measure", action="store_true")
    asked = parser.parse_args()
    if asked.measure:
        from benchmarks.measure_pace import measure

        PACE_FILE.write_text(json.dumps(measure(), indent=1) + "\n")
    table, gaps_ms = read_table(), json.loads(ARRIVALS_FILE.read_text())["gaps_ms"]
    results = compare(table, gaps_ms, asked.images)
    print(f"{table.machine}; batches of up to {table.pace.cap}, {1 / table.pace.image_s:.0f} images a second at most")
    print("\n".join(rows(results)))
    if asked.picture:
        asked.picture.write_text(
            picture(
                {
                    way: {
                        name: {load: outcomes[load].quantile_s(0.99) * 1000 for load in LOADS}
                        for name, outcomes in policies.items()
                    }
                    for way, policies in results.items()
                }
            )
        )


if __name__ == "__main__":
    main()
