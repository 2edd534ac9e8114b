"""Open loop and overload: the worker and the best rival in turns, each at a share of the bare loop's latest rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.harness.load_generator import Load, open_loop
from benchmarks.harness.process_tree import memory_mb, resumed
from benchmarks.harness.rounds import progress
from benchmarks.harness.summary import percentile
from benchmarks.rivals.contestant import Running
from benchmarks.worker.report import OpenLoop, Overload
from benchmarks.worker.side_by_side import Contest, shuffled

SHARES = (0.5, 0.8, 0.95)
OPEN_LOOP_TURNS = 3
"""How many times as long as in a closed loop a turn is: a 99th percentile needs some hundred answers."""

OPEN_LOOP_WARM_S = 1.0
OVERLOAD_TIMES = 3.0
OVERLOAD_WARM_S = 3.0
"""The time in which the queue of an overloaded server fills, after which it answers and refuses at a steady rate."""

OVERLOAD_TURNS = 2
REFUSALS = (429, 503)


def measure_open_loop(contest: Contest, servers: Mapping[str, Running], schedule: str) -> list[OpenLoop]:
    """Each contestant at each share of the bare loop's latest rate, in a round with the same arrivals for all."""
    found: dict[tuple[str, float], list[Load]] = {(name, share): [] for share in SHARES for name in servers}
    for number in range(contest.rounds):
        for share in SHARES:
            rate_hz = share * contest.bare_per_s(schedule)
            for name in shuffled(list(servers), number):
                seconds = OPEN_LOOP_TURNS * contest.seconds
                load = _send(servers[name], rate_hz, seconds=seconds, warm_s=OPEN_LOOP_WARM_S, seed=number)
                found[name, share].append(load)
        progress(f"open loop: round {number + 1} of {contest.rounds}")
    return [_open_loop(name, share, loads) for (name, share), loads in found.items()]


def measure_overload(contest: Contest, servers: Mapping[str, Running], schedule: str) -> list[Overload]:
    """Each contestant at three times the rate of the bare loop; the first turn is not measured."""
    shares: dict[str, list[float]] = {name: [] for name in servers}
    loads: dict[str, list[Load]] = {name: [] for name in servers}
    before_mb: dict[str, float] = {}
    for number in range(1 + (contest.rounds + 1) // 2):
        for name in shuffled(list(servers), number):
            bare_per_s = contest.bare_per_s(schedule)
            seconds = OVERLOAD_TURNS * contest.seconds
            load = _send(
                servers[name], OVERLOAD_TIMES * bare_per_s, seconds=seconds, warm_s=OVERLOAD_WARM_S, seed=number
            )
            if number:
                shares[name].append(load.per_s() / bare_per_s)
                loads[name].append(load)
            else:
                before_mb[name] = memory_mb(servers[name].pid)
        progress(f"overload: round {number}")
    return [
        _overload(name, shares[name], loads[name], before_mb[name], memory_mb(servers[name].pid)) for name in servers
    ]


def _send(server: Running, rate_hz: float, *, seconds: float, warm_s: float, seed: int) -> Load:
    with resumed(server.pid):
        return open_loop(server.target, rate_hz=rate_hz, seconds=seconds, warm_s=warm_s, seed=seed)


def _open_loop(name: str, share: float, loads: Sequence[Load]) -> OpenLoop:
    answers = [answer for load in loads for answer in load.answers]
    good_ms = [answer.ms for answer in answers if answer.status == 200]
    return OpenLoop(
        name=name,
        share=share,
        p99_ms=[_p99_ms(load) for load in loads],
        all_p50_ms=percentile(good_ms, 0.5) if good_ms else float("inf"),
        all_p99_ms=percentile(good_ms, 0.99) if good_ms else float("inf"),
        requests=len(answers),
        others=len(answers) - len(good_ms),
        load_share=_load_share(loads),
    )


def _overload(name: str, shares: Sequence[float], loads: Sequence[Load], before_mb: float, after_mb: float) -> Overload:
    refused_ms = [answer.ms for load in loads for answer in load.answers if answer.status in REFUSALS]
    good = sum(load.count(200) for load in loads)
    return Overload(
        name=name,
        shares=shares,
        refused=len(refused_ms),
        refused_p99_ms=percentile(refused_ms, 0.99) if refused_ms else float("nan"),
        others=sum(len(load.answers) for load in loads) - good - len(refused_ms),
        before_mb=before_mb,
        after_mb=after_mb,
        load_share=_load_share(loads),
    )


def _p99_ms(load: Load) -> float:
    """The p99 of the answers of 200 in ms; infinite if there are none."""
    return load.ms(0.99) if load.count(200) else float("inf")


def _load_share(loads: Sequence[Load]) -> float:
    """The share of a core that the load generator used while it sent."""
    return sum(load.spent_s for load in loads) / sum(load.sending_s for load in loads)
