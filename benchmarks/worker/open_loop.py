"""Open loop and overload: the worker and the best rival in turns, each at a share of what the bare loop just did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.harness.load_generator import Load, opened
from benchmarks.harness.percentiles import percentile
from benchmarks.harness.process_tree import going, memory_mb
from benchmarks.harness.turns import Stage, say, shuffled
from benchmarks.rivals.contestant import Running
from benchmarks.worker.report import Flood, Paced

SHARES = (0.5, 0.8, 0.95)
PACED_TURNS = 3
"""An open turn is so many times as long as a closed one: a 99th percentile needs some hundred answers."""

PACED_WARM_S = 1.0
FLOOD = 3.0
FLOOD_WARM_S = 3.0
"""Until the queue of a flooded server is full, and it answers and refuses at a steady rate."""

FLOOD_TURNS = 2
REFUSALS = (429, 503)


def pace(stage: Stage, up: Mapping[str, Running], way: str) -> list[Paced]:
    """At each share of the bare loop's rate of a moment ago; in one round all meet the same arrivals."""
    found: dict[tuple[str, float], list[Load]] = {(name, share): [] for share in SHARES for name in up}
    for number in range(stage.rounds):
        for share in SHARES:
            rate_hz = share * stage.bare_per_s(way)
            for name in shuffled(list(up), number):
                seconds = PACED_TURNS * stage.seconds
                load = _opened(up[name], rate_hz, seconds=seconds, warm_s=PACED_WARM_S, seed=number)
                found[name, share].append(load)
        say(f"open loop: round {number + 1} of {stage.rounds}")
    return [_paced(name, share, loads) for (name, share), loads in found.items()]


def flood(stage: Stage, up: Mapping[str, Running], way: str) -> list[Flood]:
    """Three times as many requests as the bare loop could answer, after a first flood that is not counted."""
    shares: dict[str, list[float]] = {name: [] for name in up}
    loads: dict[str, list[Load]] = {name: [] for name in up}
    before_mb: dict[str, float] = {}
    for number in range(1 + (stage.rounds + 1) // 2):
        for name in shuffled(list(up), number):
            top_per_s = stage.bare_per_s(way)
            seconds = FLOOD_TURNS * stage.seconds
            load = _opened(up[name], FLOOD * top_per_s, seconds=seconds, warm_s=FLOOD_WARM_S, seed=number)
            if number:
                shares[name].append(load.per_s() / top_per_s)
                loads[name].append(load)
            else:
                before_mb[name] = memory_mb(up[name].pid)
        say(f"overload: round {number}")
    return [_flooded(name, shares[name], loads[name], before_mb[name], memory_mb(up[name].pid)) for name in up]


def _opened(now: Running, rate_hz: float, *, seconds: float, warm_s: float, seed: int) -> Load:
    with going(now.pid):
        return opened(now.target, rate_hz=rate_hz, seconds=seconds, warm_s=warm_s, seed=seed)


def _paced(name: str, share: float, loads: Sequence[Load]) -> Paced:
    answers = [answer for load in loads for answer in load.answers]
    good_ms = [answer.ms for answer in answers if answer.status == 200]
    return Paced(
        name=name,
        share=share,
        p99_ms=[_p99_ms(load) for load in loads],
        all_p50_ms=percentile(good_ms, 0.5) if good_ms else float("inf"),
        all_p99_ms=percentile(good_ms, 0.99) if good_ms else float("inf"),
        asked=len(answers),
        others=len(answers) - len(good_ms),
        load_share=_load_share(loads),
    )


def _flooded(name: str, shares: Sequence[float], loads: Sequence[Load], before_mb: float, after_mb: float) -> Flood:
    refused_ms = [answer.ms for load in loads for answer in load.answers if answer.status in REFUSALS]
    good = sum(load.count(200) for load in loads)
    return Flood(
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
    """Of the answers of 200; endless if there are none."""
    return load.ms(0.99) if load.count(200) else float("inf")


def _load_share(loads: Sequence[Load]) -> float:
    """What share of a core the load generator took while it sent."""
    return sum(load.spent_s for load in loads) / sum(load.sending_s for load in loads)
