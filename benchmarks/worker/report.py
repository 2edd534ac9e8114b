"""What benchmarks.worker measured -> tables in Markdown, and which bars hold: pure functions over plain numbers.

Two figures stand for each comparison: the median of the ratio in each round, in which drifts of the machine cancel,
and the ratio of the medians. The first decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

OURS = "p2p worker"
FLOOR = "bare socket"
"""One blocking thread that receives, decodes, predicts and answers: no rival, but the least a lone client can wait."""


@dataclass(kw_only=True)
class Standing:
    """What one contestant, or one way of the bare loop, did: one figure a round, and why it left, if it did.

    per_s:      answers of 200 a second, by number of clients that wait for each answer
    lone_ms:    p50 of one such client
    load_ms:    processor milliseconds that the load generator took for a request
    others:     answers that were no 200, and requests without one
    memory_mb:  of all its processes, after the load
    idle_share: of a core, when nobody asked
    """

    per_s: dict[int, list[float]] = field(default_factory=dict)
    lone_ms: list[float] = field(default_factory=list)
    load_ms: list[float] = field(default_factory=list)
    others: int = 0
    memory_mb: float = 0.0
    idle_share: float = 0.0
    reason: str = ""


Standings = Mapping[str, Standing]


@dataclass(frozen=True, kw_only=True)
class Paced:
    """One contestant at one share of the ceiling: times from when requests were due, how many failed.

    p99_ms: of each turn
    all_p50_ms, all_p99_ms: of all turns together
    load_share: of a core, that the load generator took
    """

    name: str
    share: float
    p99_ms: Sequence[float]
    all_p50_ms: float
    all_p99_ms: float
    asked: int
    others: int
    load_share: float


@dataclass(frozen=True, kw_only=True)
class Flood:
    """Three times the ceiling.

    shares: answers of 200 a second, beside the bare loop's rate a moment before, one a turn
    refused, refused_p99_ms: how many were refused, and how fast
    others: neither answered nor refused
    before_mb, after_mb: memory after the first flood, and after the last
    load_share: of a core, that the load generator took
    """

    name: str
    shares: Sequence[float]
    refused: int
    refused_p99_ms: float
    others: int
    before_mb: float
    after_mb: float
    load_share: float


@dataclass(frozen=True)
class Bar:
    """One demand: what was measured for it, and whether that is enough."""

    demand: str
    measured: str
    holds: bool


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratio in each round."""
    return median(a / b for a, b in zip(ours, theirs, strict=False))  # who left early has fewer


def top(loops: Standings, clients: int) -> str:
    """The way of the bare loop with most images a second."""
    return max(loops, key=lambda way: median(loops[way].per_s[clients]))


def running(standings: Standings, clients: int) -> dict[str, Standing]:
    """Those that have not left, and took turns of so many clients."""
    stayed = {name: one for name, one in standings.items() if not one.reason}
    return {name: one for name, one in stayed.items() if (one.lone_ms if clients == 1 else one.per_s.get(clients))}


def contest_table(standings: Standings, loops: Standings, clients: Sequence[int]) -> str:
    """Medians, and the median of each round's ratio to the bare loop; best at the first of `clients` first."""
    heads = ["", "p50 alone, ms"]
    for number in clients:
        heads += [f"a second, {number} clients", "x bare loop"]
    heads += ["memory, MB", "idle, of a core", "load generator, ms a request", "not answered with 200"]
    rows = [_row(heads), _row(["---"] * len(heads))]
    for way, one in loops.items():
        rows.append(_row([f"bare loop, {way}", *_figures(one, loops, clients), "", "", "", ""]))
    ran = {name: one for name, one in standings.items() if (one.lone_ms or one.per_s) and not one.reason}
    for name in sorted(ran, key=lambda name: -median(ran[name].per_s.get(clients[0], [0.0]))):
        one = ran[name]
        cost = f"{median(one.load_ms):.2f}" if one.load_ms else ""
        kept = [f"{one.memory_mb:.0f}", f"{one.idle_share:.1%}", cost, str(one.others)]
        rows.append(_row([name, *_figures(one, loops, clients), *kept]))
    left = [f"\n{name} left: {standing.reason}" for name, standing in standings.items() if standing.reason]
    return "\n".join([*rows, *left])


def paced_table(paced: Sequence[Paced]) -> str:
    """Open loop: a row for each contestant and share of the ceiling."""
    heads = ["", "share of the ceiling", "p99, ms, median of the turns", "p50, ms, all turns", "p99, ms, all turns"]
    heads += ["requests", "not answered with 200", "load generator, of a core"]
    rows = [_row(heads), _row(["---"] * len(heads))]
    for one in paced:
        times = [f"{median(one.p99_ms):.1f}", f"{one.all_p50_ms:.1f}", f"{one.all_p99_ms:.1f}"]
        counts = [str(one.asked), str(one.others), f"{one.load_share:.1%}"]
        rows.append(_row([one.name, f"{one.share:.0%}", *times, *counts]))
    return "\n".join(rows)


def flood_table(floods: Sequence[Flood]) -> str:
    """Overload: a row for each contestant."""
    heads = ["", "goodput x bare loop", "refused", "p99 of refusals, ms", "neither", "memory, MB"]
    heads += ["load generator, of a core"]
    rows = [_row(heads), _row(["---"] * len(heads))]
    for one in floods:
        memory = f"{one.before_mb:.0f}, then {one.after_mb:.0f}"
        refusals = [str(one.refused), f"{one.refused_p99_ms:.1f}", str(one.others)]
        rows.append(_row([one.name, f"{median(one.shares):.3f}", *refusals, memory, f"{one.load_share:.1%}"]))
    return "\n".join(rows)


def bar_table(bars: Iterable[Bar]) -> str:
    rows = [_row(["demand", "measured", "holds"]), _row(["---"] * 3)]
    return "\n".join([*rows, *(_row([bar.demand, bar.measured, "yes" if bar.holds else "NO"]) for bar in bars)])


def ceiling_bars(standings: Standings, loops: Standings, clients: Sequence[int]) -> list[Bar]:
    """The worker beside the bare loop, in that way of it which is best."""
    ours, bars = standings[OURS], []
    for number in clients:
        mine, best = ours.per_s[number], loops[top(loops, number)].per_s[number]
        share = paired(mine, best)
        measured = f"{share:.3f} ({median(mine):.1f} of {median(best):.1f})"
        bars.append(Bar(f"at least 0.95 x bare loop at {number} clients", measured, share >= 0.95))
    alone = next(iter(loops.values())).lone_ms
    more_ms = _above(ours.lone_ms, alone)
    measured = f"{more_ms:.2f} ms ({median(ours.lone_ms):.1f} beside {median(alone):.1f})"
    floor = running(standings, 1).get(FLOOR)
    if floor is not None:
        measured += f"; a {FLOOR} {_above(floor.lone_ms, alone):.2f} ms"
    return [*bars, Bar("alone at most 1 ms above decode + predict", measured, more_ms <= 1)]


def rival_bars(standings: Standings, *, table: str, flask_times: float | None) -> list[Bar]:
    """The worker beside every other: ahead at 16 clients and alone, and some times Flask; ratios are ours to theirs."""
    ours = standings[OURS]
    bars = []
    crowds = {name: one.per_s[16] for name, one in _others(standings, 16).items()}
    if crowds:
        best = min(crowds, key=lambda name: paired(ours.per_s[16], crowds[name]))
        bars.append(_ahead(f"{table}: most a second at 16", ours.per_s[16], best, crowds[best]))
    lone = {name: one.lone_ms for name, one in _others(standings, 1).items()}
    if lone:
        quickest = max(lone, key=lambda name: paired(ours.lone_ms, lone[name]))
        bars.append(_ahead(f"{table}: least p50 alone, ms", ours.lone_ms, quickest, lone[quickest], less=True))
    if flask_times is not None and "Flask" in crowds:
        demand = f"{table}: {flask_times:g} x Flask at 16"
        bars.append(_ahead(demand, ours.per_s[16], "Flask", crowds["Flask"], times=flask_times))
    return bars


def paced_bars(paced: Sequence[Paced]) -> list[Bar]:
    """At each share of the ceiling: the worker's p99 beside the best rival's, turn by turn."""
    theirs = {one.share: one for one in paced if one.name != OURS}
    pairs = [(one, theirs[one.share]) for one in paced if one.name == OURS and one.share in theirs]
    return [
        _ahead(f"p99 at {one.share:.0%} of the bare loop, ms", one.p99_ms, other.name, other.p99_ms, less=True)
        for one, other in pairs
    ]


def flood_bars(flood: Flood) -> list[Bar]:
    """Overload at 3 x the bare loop."""
    share = median(flood.shares)
    quick = f"{flood.refused_p99_ms:.1f} ms of {flood.refused}"
    memory = f"{flood.before_mb:.0f} MB, then {flood.after_mb:.0f} MB"
    return [
        Bar("overload: goodput at least 0.9 x bare loop", f"{share:.3f}", share >= 0.9),
        Bar("overload: p99 of refusals under 10 ms", quick, flood.refused_p99_ms < 10),
        Bar("overload: nothing but answers and refusals", f"{flood.others} others", flood.others == 0),
        Bar("overload: memory within 5%", memory, flood.after_mb <= 1.05 * flood.before_mb),
    ]


def best_rival(standings: Standings) -> str | None:
    """The rival with most answers a second at 16 clients."""
    ran = _others(standings, 16)
    return max(ran, key=lambda name: median(ran[name].per_s[16])) if ran else None


def _others(standings: Standings, clients: int) -> dict[str, Standing]:
    """The rivals among those that run."""
    return {name: one for name, one in running(standings, clients).items() if name not in (OURS, FLOOR)}


def _above(ms: Sequence[float], bare_ms: Sequence[float]) -> float:
    """The median of the difference in each round."""
    return median(more - bare for more, bare in zip(ms, bare_ms, strict=False))  # who left early has fewer


def _ahead(
    demand: str, ours: Sequence[float], name: str, theirs: Sequence[float], *, times: float = 1, less: bool = False
) -> Bar:
    ratio = paired(ours, theirs)
    measured = f"{ratio:.3f} x {name} ({median(ours):.1f} beside {median(theirs):.1f})"
    return Bar(demand, measured, ratio < 1 if less else ratio > 1 if times == 1 else ratio >= times)


def _figures(one: Standing, loops: Standings, clients: Sequence[int]) -> list[str]:
    cells = [f"{median(one.lone_ms):.1f}" if one.lone_ms else ""]
    for number in clients:
        rates = one.per_s.get(number)
        best = loops[top(loops, number)].per_s[number]
        cells += [f"{median(rates):.1f}", f"{paired(rates, best):.3f}"] if rates else ["", ""]
    return cells


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
