"""An HTTP load generator of one process that uses little processor time: closed loop and open loop.

    python -m benchmarks.harness.load_generator URL FILE [--connections 16] [--rate 50] [--seconds 5]

`closed_loop` keeps N connections busy, each with one request at a time: what N clients get that wait for each answer.
`open_loop` sends at the times of a Poisson process whether or not earlier requests were answered, on as many
connections as that takes, and times each answer from the moment its request was due: what clients see that do not
wait for each other.
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
from benchmarks.harness.requests import post
from benchmarks.harness.summary import percentile

ANSWER_WITHIN_S = 10.0
"""How long answers are waited for after the last request."""

RETRY_S = 0.01
"""The pause after a lost request, so that a server that is gone is not asked in a tight loop."""


@dataclass(frozen=True)
class Load:
    """The answers to a load, the period that is measured, and the processor seconds that this process spent.

    everything: all answers, those before the measured period too
    began_s, ended_s: the measured period; latencies are of requests that were due in it, rates of answers that were
        complete in it
    sending_s: how long requests were sent, before the measured period too
    """

    everything: Sequence[Answer]
    began_s: float
    ended_s: float
    spent_s: float
    sending_s: float

    @property
    def seconds(self) -> float:
        """The length of the measured period."""
        return self.ended_s - self.began_s

    @property
    def answers(self) -> list[Answer]:
        """The answers to requests that were due in the measured period."""
        return [a for a in self.everything if a.due_s >= self.began_s]

    def per_s(self, status: int = 200) -> float:
        """Answers of this status per second that were complete in the measured period, whenever they were due."""
        done = (a for a in self.everything if self.began_s <= a.done_s <= self.ended_s)
        return sum(a.status == status for a in done) / self.seconds

    def ms(self, share: float, *statuses: int) -> float:
        """A percentile of the latencies of all answers of these statuses (200 by default), in ms; else NaN."""
        times = [a.ms for a in self.answers if a.status in (statuses or (200,))]
        return percentile(times, share) if times else float("nan")

    def count(self, *statuses: int) -> int:
        """How many answers had one of these statuses."""
        return sum(a.status in statuses for a in self.answers)


def closed_loop(target: Target, *, connections: int, seconds: float, warm_s: float = 0.0) -> Load:
    """Keep this many connections busy for `warm_s`, which is not measured, and then for `seconds`."""
    began_s = time.perf_counter() + warm_s
    ended_s = began_s + seconds

    def again(answer: Answer) -> Iterator[float]:
        if answer.done_s < ended_s:
            yield answer.done_s + (RETRY_S if answer.status == LOST else 0)

    return _load(target, [began_s - warm_s] * connections, again, began_s=began_s, ended_s=ended_s, from_sending=True)


def open_loop(target: Target, *, rate_hz: float, seconds: float, warm_s: float = 0.0, seed: int = 1) -> Load:
    """Send at Poisson times for `warm_s`, which is not measured, and then for `seconds`; wait for the answers.

    A request may go out up to a millisecond late, which counts as part of its latency.
    """
    chance = random.Random(seed)
    first_s = time.perf_counter()
    began_s = first_s + warm_s
    ended_s = began_s + seconds
    steps = iter(lambda: chance.expovariate(rate_hz), None)
    due_s = [*itertools.takewhile(lambda at_s: at_s < ended_s, itertools.accumulate(steps, initial=first_s))][1:]
    return _load(target, due_s, lambda _: (), began_s=began_s, ended_s=ended_s, from_sending=False)


def _load(
    target: Target,
    due_s: list[float],
    again: Callable[[Answer], Iterable[float]],
    *,
    began_s: float,
    ended_s: float,
    from_sending: bool,
) -> Load:
    """Send the requests of `due_s`, a heap, and those that are due `again` after an answer.

    from_sending: latency counts from when a request was sent, not from when it was due
    """
    before_s, since_s = time.process_time(), time.perf_counter()
    turn = itertools.cycle(target.requests)
    answers: list[Answer] = []
    with Connections(target) as connections:
        while (due_s or connections.in_flight) and (now_s := time.perf_counter()) < ended_s + ANSWER_WITHIN_S:
            while due_s and due_s[0] <= now_s:
                at_s = heapq.heappop(due_s)
                connections.send(next(turn), due_s=time.perf_counter() if from_sending else at_s)
            next_s = due_s[0] if due_s else ended_s + ANSWER_WITHIN_S
            for answer in connections.answers(within_s=max(0.0, next_s - time.perf_counter())):
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
    parser.add_argument("--rate", type=float, help="requests per second; makes it an open loop")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    parts = urlsplit(options.url)
    body = options.file.read_bytes()
    request = post(body, "application/octet-stream", path=parts.path or "/", host=parts.netloc)
    target = Target(parts.port or 80, (request,), parts.hostname or "127.0.0.1")
    if options.rate:
        load = open_loop(target, rate_hz=options.rate, seconds=options.seconds)
    else:
        load = closed_loop(target, connections=options.connections, seconds=options.seconds)
    print(f"{load.per_s():,.1f} answers of 200 per second, p50 {load.ms(0.5):.2f} ms, p99 {load.ms(0.99):.2f} ms")
    others = len(load.answers) - load.count(200)
    print(f"{others} others; the generator took {load.spent_s / load.seconds:.1%} of a core")


if __name__ == "__main__":
    main()
