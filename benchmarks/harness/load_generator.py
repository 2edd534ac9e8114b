"""HTTP load from one process that costs little: ready-made requests over raw sockets, each answer timed.

    python -m benchmarks.harness.load_generator URL FILE [--connections 16] [--rate 50] [--seconds 5]

`closed` keeps N connections busy, each with one request at a time: what N patient clients get. `opened` sends at
the times of a Poisson process whether or not earlier requests were answered, on as many connections as that takes,
and times each answer from the moment its request was due: what clients feel who do not wait for each other.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.harness.connections import LOST, Answer, Connections, Target
from benchmarks.harness.percentiles import percentile

PATIENCE_S = 10.0
"""How long after the last request answers are waited for."""

RETRY_S = 0.01
"""A server that is gone must not be asked in a tight loop."""


@dataclass(frozen=True)
class Load:
    """What came back, what of it counts, and the processor seconds that this process spent.

    everything: all answers, those while warming up too
    began_s, ended_s: what is measured is what was due, or for rates what was done, between these
    sending_s: how long requests were sent, warming up included
    """

    everything: Sequence[Answer]
    began_s: float
    ended_s: float
    spent_s: float
    sending_s: float

    @property
    def seconds(self) -> float:
        """How long was measured."""
        return self.ended_s - self.began_s

    @property
    def answers(self) -> list[Answer]:
        """Those to requests that were due while it was measured."""
        return [a for a in self.everything if a.due_s >= self.began_s]

    def per_s(self, status: int = 200) -> float:
        """Answers a second of this status that were complete while it was measured, whenever they were due."""
        done = (a for a in self.everything if self.began_s <= a.done_s <= self.ended_s)
        return sum(a.status == status for a in done) / self.seconds

    def ms(self, share: float, *statuses: int) -> float:
        """A percentile of the milliseconds of all answers of these statuses; not a number if there are none."""
        times = [a.ms for a in self.answers if a.status in (statuses or (200,))]
        return percentile(times, share) if times else float("nan")

    def count(self, *statuses: int) -> int:
        """How many answers had one of these statuses."""
        return sum(a.status in statuses for a in self.answers)


def closed(target: Target, *, connections: int, seconds: float, warm_s: float = 0.0) -> Load:
    """Keep this many connections busy for warm_s + seconds."""
    began_s = time.perf_counter() + warm_s
    ended_s = began_s + seconds

    def again(answer: Answer) -> Iterator[float]:
        if answer.done_s < ended_s:
            yield answer.done_s + (RETRY_S if answer.status == LOST else 0)

    return _load(target, [began_s - warm_s] * connections, again, began_s=began_s, ended_s=ended_s, patient=True)


def opened(target: Target, *, rate_hz: float, seconds: float, warm_s: float = 0.0, seed: int = 1) -> Load:
    """Send at Poisson times for warm_s + seconds, and wait for the answers.

    Waiting is good to a millisecond: a request may go out so late, and that is counted.
    """
    chance = random.Random(seed)
    first_s = time.perf_counter()
    began_s = first_s + warm_s
    ended_s = began_s + seconds
    steps = iter(lambda: chance.expovariate(rate_hz), None)
    due_s = [*itertools.takewhile(lambda at_s: at_s < ended_s, itertools.accumulate(steps, initial=first_s))][1:]
    return _load(target, due_s, lambda _: (), began_s=began_s, ended_s=ended_s, patient=False)


def _load(
    target: Target,
    due_s: list[float],
    again: Callable[[Answer], Iterable[float]],
    *,
    began_s: float,
    ended_s: float,
    patient: bool,
) -> Load:
    """Send what is due, a heap, and what is due `again` after an answer; `patient` clients count from their sending."""
    before_s, since_s = time.process_time(), time.perf_counter()
    turn = itertools.cycle(target.requests)
    answers: list[Answer] = []
    with Connections(target) as connections:
        while (due_s or connections.under_way) and (now_s := time.perf_counter()) < ended_s + PATIENCE_S:
            while due_s and due_s[0] <= now_s:
                at_s = heapq.heappop(due_s)
                connections.ask(next(turn), due_s=time.perf_counter() if patient else at_s)
            next_s = due_s[0] if due_s else ended_s + PATIENCE_S
            for answer in connections.answered(within_s=max(0.0, next_s - time.perf_counter())):
                answers.append(answer)
                for at_s in again(answer):
                    heapq.heappush(due_s, at_s)
        answers += connections.lost()
    return Load(answers, began_s, ended_s, time.process_time() - before_s, ended_s - since_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("file", type=Path, help="the body of every request")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rate", type=float, help="requests a second; given, the loop is open")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    parts = urlsplit(options.url)
    body = options.file.read_bytes()
    head = f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    target = Target(parts.port or 80, (head.encode() + body,), parts.hostname or "127.0.0.1")
    if options.rate:
        load = opened(target, rate_hz=options.rate, seconds=options.seconds)
    else:
        load = closed(target, connections=options.connections, seconds=options.seconds)
    print(f"{load.per_s():,.1f} answers of 200 a second, p50 {load.ms(0.5):.2f} ms, p99 {load.ms(0.99):.2f} ms")
    others = len(load.answers) - load.count(200)
    print(f"{others} others; the generator took {load.spent_s / load.seconds:.1%} of a core")


if __name__ == "__main__":
    main()
