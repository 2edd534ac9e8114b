"""Contestants that stand side by side and take short turns: all but the one that is measured are paused.

What differs between the minutes of a machine then hits all alike, and figures of one round may be divided by each
other. Every contestant but the one whose turn it is gets SIGSTOP, whether it computes while it is idle or not.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.harness.load_generator import Load, closed
from benchmarks.harness.process_tree import going, memory_mb, pause, resume, spent_s
from benchmarks.rivals.contestant import Contestant, NotRunning, Running, running
from benchmarks.worker.bare_loop_process import Bare
from benchmarks.worker.report import Standing

FIRST_WARM_S = 0.5
LEARN_S = 2.0
WARM_S = 0.3
"""At the beginning of each turn, unmeasured: caches are another's, and timers that were due meanwhile fire."""

SETTLE_S, IDLE_S = 2.0, 4.0
CROWD = 16

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What all contestants share.

    seconds: how long each turn is measured
    rounds:  how many turns of each kind a contestant takes
    """

    bare: Bare
    images: Sequence[Path]
    folder: Path
    seconds: float
    rounds: int

    @contextmanager
    def standing(self, field: Sequence[Contestant], standings: Mapping[str, Standing]) -> Iterator[dict[str, Running]]:
        """All that start, warmed and paused; the standing of one that does not says why. Idle costs are measured."""
        up: dict[str, Running] = {}
        with ExitStack() as stack:
            for who in field:
                log = self.folder / f"{who.name}.log"
                try:
                    now = stack.enter_context(running(who, self.images, label=self.bare.label, log=log))
                except NotRunning as error:
                    standings[who.name].reason = str(error)
                    say(f"{who.name}: {error}")
                    continue
                closed(now.target, connections=CROWD, seconds=FIRST_WARM_S)
                pause(now.pid)
                up[who.name] = now
                say(f"{who.name} is up")
            for name, share in idle_shares(up).items():
                standings[name].idle_share = share
            yield up

    def rate(self, now: Running, clients: int) -> Load:
        """One turn of a contestant."""
        with going(now.pid):
            return closed(now.target, connections=clients, seconds=self.seconds, warm_s=WARM_S)

    def bare_per_s(self, way: str) -> float:
        """One turn of the bare loop."""
        return self.bare.per_s(way, seconds=self.seconds, warm_s=WARM_S)

    def bare_turns(self, clients: int, loops: Mapping[str, Standing]) -> None:
        """One turn of the bare loop in each of its ways; a lone one, which is the same in all, where clients is 1."""
        if clients == 1:
            lone_ms = self.bare.lone_ms(seconds=self.seconds, warm_s=WARM_S)
            for standing in loops.values():
                standing.lone_ms.append(lone_ms)
        else:
            for way, standing in loops.items():
                standing.per_s.setdefault(clients, []).append(self.bare_per_s(way))

    def contest(
        self,
        up: Mapping[str, Running],
        standings: Mapping[str, Standing],
        loops: Mapping[str, Standing],
        loads: Mapping[str, Sequence[int]],
    ) -> None:
        """For each number of clients that `loads` names all rounds, after an unmeasured turn in which servers learn it.

        Kinds of load do not alternate: BentoML, which learns from the last seconds how long to wait, would meet lone
        requests with what it learned from a crowd.
        """
        for clients in sorted({clients for numbers in loads.values() for clients in numbers}):
            able = [name for name in up if clients in loads[name]]
            for name in able:
                with going(up[name].pid):
                    closed(up[name].target, connections=clients, seconds=LEARN_S)
            for number in range(self.rounds):
                self.bare_turns(clients, loops)
                for name in shuffled(able, number):
                    if not standings[name].reason:
                        note(standings[name], clients, self.rate(up[name], clients))
            say(f"{clients} clients: {self.rounds} rounds")
        for name, now in up.items():
            standings[name].memory_mb = memory_mb(now.pid)


def end_whole() -> None:
    """Let SIGTERM end this process as an exit does: paused servers must be let go, or they would stay for ever."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def note(standing: Standing, clients: int, load: Load) -> None:
    """Put one turn into a contestant's standing; without a single answer of 200 it is out."""
    if not load.count(200):
        standing.reason = f"it stopped answering {clients} clients"
        return
    standing.others += len(load.answers) - load.count(200)
    if clients == 1:
        standing.lone_ms.append(load.ms(0.5))
    else:
        standing.per_s.setdefault(clients, []).append(load.per_s())
        standing.load_ms.append(load.spent_s * 1000 / len(load.everything))


def idle_shares(up: Mapping[str, Running]) -> dict[str, float]:
    """What share of a core each takes when nobody asks it; all go on for that, and are paused again."""
    for now in up.values():
        resume(now.pid)
    time.sleep(SETTLE_S)
    began_s = time.monotonic()
    before = {name: spent_s(now.pid) for name, now in up.items()}
    time.sleep(IDLE_S)
    took_s = time.monotonic() - began_s
    shares = {name: (spent_s(now.pid) - before[name]) / took_s for name, now in up.items()}
    for now in up.values():
        pause(now.pid)
    return shares


def shuffled(names: Sequence[T], seed: int) -> list[T]:
    """In an order that differs from round to round, so that nobody always follows the same neighbour."""
    order = list(names)
    random.Random(seed).shuffle(order)
    return order


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
