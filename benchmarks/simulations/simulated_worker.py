"""A simulated worker: images arrive, are decoded by threads, wait in a queue, and run in batches when a policy says so.

Events are handled in order of time. The seconds of a batch by its size come from a table, without noise; decoding and
predicting do not share a processor.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from worker.batching.policy import Pace, batch_size, learn_pace
from worker.inference.calibration import SIZES

DECODERS = 2
RETURN_S = 0.001
"""In a closed loop, the time from an answer to the next image of the same client."""

WARMING = 0.05
"""The share of the arrivals that is not counted, at the beginning, while the queue fills."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """What a policy may know when the engine is free and images are queued; times in seconds."""

    queued: int
    oldest_since_s: float
    free_since_s: float


Policy = Callable[[Pace, QueueState], float]
"""The time until which a free engine waits for more images; a full batch runs at once."""


@dataclass(frozen=True)
class BatchTimes:
    """The measured seconds of an engine by batch size, and of decoding one image."""

    seconds: Mapping[int, float]
    decode_s: float
    machine: str

    @cached_property
    def pace(self) -> Pace:
        return learn_pace({size: self.batch_s(size) for size in SIZES if size <= max(self.seconds)})

    def batch_s(self, size: int) -> float:
        """The seconds of a batch; between measured sizes interpolated linearly."""
        above = min(known for known in self.seconds if known >= size)
        if above == size:
            return self.seconds[size]
        below = max(known for known in self.seconds if known < size)
        share = (size - below) / (above - below)
        return self.seconds[below] + share * (self.seconds[above] - self.seconds[below])


@dataclass(frozen=True, slots=True)
class Outcome:
    """Latencies from arrival to answer, sorted, in seconds; images per second; mean size of batches."""

    latencies_s: Sequence[float]
    images_s: float
    mean_batch: float

    def quantile_s(self, share: float) -> float:
        return self.latencies_s[min(len(self.latencies_s) - 1, int(share * len(self.latencies_s)))]


@dataclass(slots=True)
class _Worker:
    """The simulated worker; its events are (time, number, function that is called with the time)."""

    times: BatchTimes
    policy: Policy
    events: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    undecoded: deque[float] = field(default_factory=deque)
    queue: deque[tuple[float, float]] = field(default_factory=deque)
    answered: list[tuple[float, float]] = field(default_factory=list)
    batches: int = 0
    decoding: int = 0
    running: bool = False
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
            self.at(now_s + self.times.decode_s, partial(self.decoded, arrived_s))

    def decoded(self, arrived_s: float, now_s: float) -> None:
        self.decoding -= 1
        self.queue.append((arrived_s, now_s))
        self.decode(now_s)
        self.consider(now_s)

    def consider(self, now_s: float) -> None:
        if self.running or not self.queue:
            return
        pace = self.times.pace
        state = QueueState(
            queued=len(self.queue),
            oldest_since_s=self.queue[0][1],
            free_since_s=self.free_since_s,
        )
        until_s = self.policy(pace, state)
        if len(self.queue) < pace.cap and until_s > now_s:
            self.at(until_s, self.consider)
            return
        self.begin(now_s, batch_size(pace, queued=len(self.queue), sizes=()))

    def begin(self, now_s: float, size: int) -> None:
        arrived = [self.queue.popleft()[0] for _ in range(size)]
        self.running, self.batches = True, self.batches + 1
        self.at(now_s + self.times.batch_s(size), lambda at_s: self.finish(at_s, arrived))

    def finish(self, now_s: float, arrived: Sequence[float]) -> None:
        self.answered += [(arrived_s, now_s) for arrived_s in arrived]
        self.running, self.free_since_s = False, now_s
        if self.begins_again is not None:
            for _ in arrived:
                self.begins_again(now_s)
        self.consider(now_s)


def simulate(times: BatchTimes, policy: Policy, arrivals_s: Sequence[float]) -> Outcome:
    """One policy under these arrivals, the first of which are not counted."""
    worker = _Worker(times, policy)
    worker.run(arrivals_s)
    counted = sorted(worker.answered)[int(WARMING * len(arrivals_s)) :]
    return Outcome(
        latencies_s=sorted(done_s - arrived_s for arrived_s, done_s in counted),
        images_s=len(worker.answered) / (max(done_s for _, done_s in worker.answered) - arrivals_s[0]),
        mean_batch=len(worker.answered) / worker.batches,
    )


def simulate_loop(times: BatchTimes, policy: Policy, *, clients: int, images: int) -> Outcome:
    """One policy in a closed loop: each client sends its next image when it has the answer to the previous one."""
    worker = _Worker(times, policy)

    def again(now_s: float) -> None:
        if worker.number < 4 * images:
            worker.at(now_s + RETURN_S, worker.arrive)

    worker.begins_again = again
    worker.run([number * RETURN_S for number in range(clients)])
    return Outcome(
        latencies_s=sorted(done_s - arrived_s for arrived_s, done_s in worker.answered),
        images_s=len(worker.answered) / max(done_s for _, done_s in worker.answered),
        mean_batch=len(worker.answered) / worker.batches,
    )
