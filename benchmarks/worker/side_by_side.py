"""Contestants that all run at the same time and take short turns; all but the one that is measured are paused.

Changes of the machine's speed then affect all alike, so that figures of the same round may be divided by each other.
Every contestant but the one whose turn it is gets SIGSTOP, whether or not it computes while it is idle.
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

from benchmarks.harness.load_generator import Load, closed_loop
from benchmarks.harness.process_tree import memory_mb, pause, resume, resumed, spent_s
from benchmarks.harness.rounds import progress
from benchmarks.rivals.contestant import Contestant, NotRunning, Running, running
from benchmarks.worker.bare_loop_process import BareLoop
from benchmarks.worker.report import Result

FIRST_WARM_S = 0.5
ADAPT_S = 2.0
WARM_S = 0.3
"""The unmeasured beginning of a turn: caches hold another contestant's data, and overdue timers fire."""

BEFORE_IDLE_S, IDLE_S = 2.0, 4.0
MANY_CLIENTS = 16

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What all contestants share.

    seconds: the measured part of a turn
    rounds:  how many turns of each kind a contestant takes
    """

    bare: BareLoop
    images: Sequence[Path]
    folder: Path
    seconds: float
    rounds: int

    @contextmanager
    def started(self, contestants: Sequence[Contestant], results: Mapping[str, Result]) -> Iterator[dict[str, Running]]:
        """The contestants that start, warmed up and paused, with their idle costs measured.

        The result of a contestant that does not start gives the reason.
        """
        servers: dict[str, Running] = {}
        with ExitStack() as stack:
            for who in contestants:
                log = self.folder / f"{who.name}.log"
                try:
                    server = stack.enter_context(running(who, self.images, label=self.bare.label, log=log))
                except NotRunning as error:
                    results[who.name].reason = str(error)
                    progress(f"{who.name}: {error}")
                    continue
                closed_loop(server.target, connections=MANY_CLIENTS, seconds=FIRST_WARM_S)
                pause(server.pid)
                servers[who.name] = server
                progress(f"{who.name} is up")
            for name, share in idle_shares(servers).items():
                results[name].idle_share = share
            yield servers

    def turn(self, server: Running, clients: int) -> Load:
        """One turn of a contestant."""
        with resumed(server.pid):
            return closed_loop(server.target, connections=clients, seconds=self.seconds, warm_s=WARM_S)

    def bare_per_s(self, schedule: str) -> float:
        """One turn of the bare loop."""
        return self.bare.per_s(schedule, seconds=self.seconds, warm_s=WARM_S)

    def bare_turns(self, clients: int, loops: Mapping[str, Result]) -> None:
        """One turn of each schedule of the bare loop; for 1 client a lone turn, whose figure all schedules share."""
        if clients == 1:
            lone_ms = self.bare.lone_ms(seconds=self.seconds, warm_s=WARM_S)
            for result in loops.values():
                result.lone_ms.append(lone_ms)
        else:
            for schedule, result in loops.items():
                result.per_s.setdefault(clients, []).append(self.bare_per_s(schedule))

    def take_turns(
        self,
        servers: Mapping[str, Running],
        results: Mapping[str, Result],
        loops: Mapping[str, Result],
        loads: Mapping[str, Sequence[int]],
    ) -> None:
        """All rounds for each number of clients in `loads`, after an unmeasured turn in which servers adapt to it.

        Numbers of clients do not alternate: BentoML, which learns from the last seconds how long to wait, would treat
        lone requests as it has learned from many clients.
        """
        for clients in sorted({clients for numbers in loads.values() for clients in numbers}):
            names = [name for name in servers if clients in loads[name]]
            for name in names:
                with resumed(servers[name].pid):
                    closed_loop(servers[name].target, connections=clients, seconds=ADAPT_S)
            for number in range(self.rounds):
                self.bare_turns(clients, loops)
                for name in shuffled(names, number):
                    if not results[name].reason:
                        add_turn(results[name], clients, self.turn(servers[name], clients))
            progress(f"{clients} clients: {self.rounds} rounds")
        for name, server in servers.items():
            results[name].memory_mb = memory_mb(server.pid)


def exit_on_sigterm() -> None:
    """Let SIGTERM raise SystemExit, so that blocks end and paused servers are resumed and ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def add_turn(result: Result, clients: int, load: Load) -> None:
    """Add one turn to a contestant's result; a contestant without a single answer of 200 takes no further turns."""
    if not load.count(200):
        result.reason = f"it stopped answering {clients} clients"
        return
    result.others += len(load.answers) - load.count(200)
    if clients == 1:
        result.lone_ms.append(load.ms(0.5))
    else:
        result.per_s.setdefault(clients, []).append(load.per_s())
        result.load_ms.append(load.spent_s * 1000 / len(load.everything))


def idle_shares(servers: Mapping[str, Running]) -> dict[str, float]:
    """The share of a core that each contestant uses without requests; all run for that, and are paused again."""
    for server in servers.values():
        resume(server.pid)
    time.sleep(BEFORE_IDLE_S)
    began_s = time.monotonic()
    before = {name: spent_s(server.pid) for name, server in servers.items()}
    time.sleep(IDLE_S)
    took_s = time.monotonic() - began_s
    shares = {name: (spent_s(server.pid) - before[name]) / took_s for name, server in servers.items()}
    for server in servers.values():
        pause(server.pid)
    return shares


def shuffled(names: Sequence[T], seed: int) -> list[T]:
    """The names in an order that differs from round to round, so that none always follows the same other one."""
    order = list(names)
    random.Random(seed).shuffle(order)
    return order
