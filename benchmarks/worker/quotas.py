"""What a greedy caller costs a modest one at a worker, and how much of that is the refusals of its surplus.

    python -m benchmarks.worker.quotas [--seconds 8] [--rounds 8] [--shares 0.05 0.1 0.25]

A worker with the default model and a token file has a core of its own; both callers share the other one. The modest
caller sends photos at random times (Poisson), at a fifth of the worker's capacity. Its 99th percentile is measured in
turns: alone, beside a caller that sends exactly as much as its quota allows, and beside the same caller when it sends
20 times as much without regard to Retry-After. Each quota is a share of the capacity. The ratio of the last two is what
refusing costs others, the ratio to the first one what the quota itself grants. In further turns a caller without a
quota sends twice the capacity, so that only the order of the queue protects the modest one. A ratio's interval holds
95% of the ratios of resampled latencies. Last, a caller whose quota is used up asks over 16 connections, for what a
refusal costs.

On a busy machine these are the machine's latencies, unless the processes come first: begin with `chrt --rr 1`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness.affinity import CLIENT_CORE
from benchmarks.harness.connections import Answer, Target
from benchmarks.harness.inputs import PHOTO
from benchmarks.harness.load_generator import closed_loop, open_loop
from benchmarks.harness.p2p import Running, agent, worker
from benchmarks.harness.processes import threads_cpu_s
from benchmarks.harness.requests import post
from benchmarks.harness.rounds import progress
from benchmarks.harness.summary import markdown_table, percentile

MODEST_SHARE = 0.2
TIMES_QUOTA = 20
WARM_S = 2.0
"""In this time the greedy caller uses up the second's worth that it may send at once."""

START_WITHIN_S = 180.0
"""The default model is exported at a first start."""

REFUSED = "refused"
"""A caller whose quota is used up after its first request."""

HEAD = (
    "quota of the greedy caller", "it sends", "answered, refused per second", "p50, p99 of the modest one, ms",
    "p99 against alone", "p99 against a caller within its quota",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """The greedy caller's quota as a share of the worker's capacity, and how many times as much it sends.

    `times` 0: the modest caller is alone.
    """

    share: float = 0.0
    times: int = 0

    @property
    def caller(self) -> str:
        """The greedy caller's name in the token file, which is its token, too."""
        return f"greedy-{self.share:g}"


ALONE = Setting()
FLOOD = Setting(2.0, 1)
"""A caller without a quota that sends twice the capacity."""


@dataclass(slots=True)
class Found:
    """What was measured in one setting: the modest caller's latencies and refusals, the greedy one's statuses."""

    ms: list[float] = field(default_factory=list)
    refused: int = 0
    statuses: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def per_s(self, status: int) -> float:
        """Answers of that status to the greedy caller per second."""
        return self.statuses.count(status) / self.seconds


def photo_of(caller: str, port: int) -> Target:
    """The photo as that caller posts it."""
    return Target(port, (post(PHOTO.read_bytes(), "image/jpeg", headers=f"Authorization: Bearer {caller}\r\n"),))


def sent(caller: str, port: int, *, rate_hz: float, seconds: float, seed: int) -> list[Answer]:
    """The answers to photos that the caller sends at that rate, without those of the warm-up."""
    return open_loop(photo_of(caller, port), rate_hz=rate_hz, seconds=seconds, warm_s=WARM_S, seed=seed).answers


class Callers:
    """A modest and a greedy caller, each in a process of its own, at a worker of that capacity."""

    def __init__(self, port: int, capacity_hz: float, *, seconds: float) -> None:
        self._port = port
        self._capacity_hz = capacity_hz
        self._seconds = seconds
        self._other_process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def turn(self, setting: Setting, seed: int, found: Found) -> None:
        """One turn of a setting, whose answers are added to `found`."""
        greedy = None
        if setting.times:
            rate_hz = setting.times * setting.share * self._capacity_hz
            greedy = self._other_process.submit(
                sent, setting.caller, self._port, rate_hz=rate_hz, seconds=self._seconds, seed=-seed
            )
        modest_hz = MODEST_SHARE * self._capacity_hz
        answers = sent("modest", self._port, rate_hz=modest_hz, seconds=self._seconds, seed=seed)
        found.ms += [answer.ms for answer in answers if answer.status == 200]
        found.refused += sum(answer.status != 200 for answer in answers)
        found.statuses += [answer.status for answer in greedy.result()] if greedy else []
        found.seconds += self._seconds


def measure(callers: Callers, settings: Sequence[Setting], *, rounds: int) -> Mapping[Setting, Found]:
    """Every setting has one turn in each round, in another order; the first round warms up."""
    found: defaultdict[Setting, Found] = defaultdict(Found)
    for number in range(rounds + 1):
        for setting in random.Random(number).sample(settings, len(settings)):
            callers.turn(setting, number + 1, found[setting] if number else Found())
        progress(f"round {number} of {rounds}")
    return found


def rows(found: Mapping[Setting, Found], shares: Iterable[float]) -> Iterator[list[str]]:
    """A row for each setting."""
    alone, flood = found[ALONE], found[FLOOD]
    yield ["none: the modest one is alone", "", "", latencies(alone), "", ""]
    for share in shares:
        within, above = found[Setting(share, 1)], found[Setting(share, TIMES_QUOTA)]
        for sends, one in (("its quota", within), (f"{TIMES_QUOTA} times its quota", above)):
            counts = f"{one.per_s(200):.1f}, {one.per_s(429):.1f}"
            against = "" if one is within else ratio(above.ms, within.ms)
            yield [f"{share:.0%} of the capacity", sends, counts, latencies(one), ratio(one.ms, alone.ms), against]
    counts = f"{flood.per_s(200):.1f}, {flood.per_s(429):.1f}"
    yield ["none", "twice the capacity", counts, latencies(flood), ratio(flood.ms, alone.ms), ""]


def latencies(one: Found) -> str:
    """The modest caller's median and 99th percentile, and how many of its requests got no 200."""
    refused = f" ({one.refused} of {one.refused + len(one.ms)} not answered)" if one.refused else ""
    return ", ".join(f"{percentile(one.ms, share):.1f}" for share in (0.5, 0.99)) + refused


def ratio(ms: Sequence[float], others: Sequence[float]) -> str:
    """The ratio of the 99th percentiles, and its interval."""
    chance = random.Random(1)
    ratios = [_p99(chance.choices(ms, k=len(ms))) / _p99(chance.choices(others, k=len(others))) for _ in range(1000)]
    low, high = (percentile(ratios, share) for share in (0.025, 0.975))
    return f"{_p99(ms) / _p99(others):.2f} ({low:.2f} to {high:.2f})"


def _p99(ms: Sequence[float]) -> float:
    return percentile(ms, 0.99)


def refusal_us(server: Running) -> float:
    """The worker's processor microseconds for a request above its caller's quota."""
    before_s = threads_cpu_s(server.pid)
    load = closed_loop(photo_of(REFUSED, server.port), connections=16, seconds=3)
    return (threads_cpu_s(server.pid) - before_s) * 1e6 / load.count(429)


def write_tokens(path: Path, rates_hz: Mapping[str, float | None]) -> None:
    """The callers with their quotas; None: without one."""
    path.touch(mode=0o600)
    tables = (
        f'["{name}"]\ntoken = "{name}"\n' + ("" if rate_hz is None else f"rate = {rate_hz:.4f}\n")
        for name, rate_hz in rates_hz.items()
    )
    path.write_text("\n".join(tables))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8, help="of a turn")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each setting")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.05, 0.1, 0.25], help="quotas")
    options = parser.parse_args()
    settings = [ALONE, FLOOD, *(Setting(share, times) for share in options.shares for times in (1, TIMES_QUOTA))]
    os.sched_setaffinity(0, {CLIENT_CORE})
    with tempfile.TemporaryDirectory() as folder, agent(core=CLIENT_CORE) as consul:
        tokens = Path(folder, "tokens.toml")
        write_tokens(tokens, {"modest": None})
        with worker(consul.url, "--tokens", str(tokens), engine="auto", within_s=START_WITHIN_S) as server:
            capacity_hz = closed_loop(photo_of("modest", server.port), connections=16, seconds=6, warm_s=2).per_s()
            quotas = {
                setting.caller: setting.share * capacity_hz
                for setting in settings
                if setting.times and setting != FLOOD
            }
            write_tokens(tokens, {"modest": None, FLOOD.caller: None, REFUSED: 0.001, **quotas})  # read within a second
            found = measure(Callers(server.port, capacity_hz, seconds=options.seconds), settings, rounds=options.rounds)
            cost_us = refusal_us(server)
    print(f"{capacity_hz:.0f} photos per second are the capacity, a fifth of which the modest caller sends.\n")
    print(markdown_table(HEAD, rows(found, options.shares)))
    print(f"\nA refusal takes the worker {cost_us:.0f} µs of processor time.")


if __name__ == "__main__":
    main()
