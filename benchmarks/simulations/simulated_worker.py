"""A simulated worker: images arrive -> decoding threads -> a queue -> whenever a policy says so, a batch -> answers.

Events in order of time; seconds by batch size come from a table. Nothing here knows noise or a shared processor.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from worker.batching.policy import Pace, batch_size, learn_pace
from worker.inference.calibration import SIZES

DECODERS = 2
ROAD_S = 0.001
"""From an answer to the same client's next image, in a closed loop."""

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


@dataclass(frozen=True)
class Table:
    """The engine's seconds by batch size, and one image's to decode, as measured."""

    seconds: Mapping[int, float]
    decode_s: float
    machine: str

    @cached_property
    def pace(self) -> Pace:
        return learn_pace({size: self.batch_s(size) for size in SIZES if size <= max(self.seconds)})

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
    begins_again: Callable[[float], None] | None = None

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
        if self.begins_again is not None:
            for _ in arrived:
                self.begins_again(now_s)
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


def simulate_loop(table: Table, policy: Policy, *, clients: int, images: int) -> Outcome:
    """So many clients, each of which sends its next image when it has the answer to the one before."""
    worker = _Worker(table, policy)

    def again(now_s: float) -> None:
        if worker.number < 4 * images:
            worker.at(now_s + ROAD_S, worker.arrive)

    worker.begins_again = again
    worker.run([number * ROAD_S for number in range(clients)])
    return Outcome(
        latencies_s=sorted(done_s - arrived_s for arrived_s, done_s in worker.answered),
        images_s=len(worker.answered) / max(done_s for _, done_s in worker.answered),
        mean_batch=len(worker.answered) / worker.batches,
    )
