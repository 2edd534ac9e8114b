"""From what benchmarks.worker measured to tables in Markdown and to the bars that hold: pure functions.

Each comparison has two figures: the median of the ratios of all rounds, in which changes of the machine's speed cancel,
and the ratio of the medians. The first decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.harness.summary import markdown_table, paired_ratio

OURS = "p2p worker"
OURS_BF16 = "p2p worker, bf16"
"""The same in numbers of 16 bits, where the processor has them; it stands beside the worker, not against it."""

BF16_FLASK_TIMES = 4.0

BARE_SOCKET = "bare socket"
"""One blocking thread that receives, decodes, predicts and answers: the least latency of a lone client, not a rival."""


@dataclass(kw_only=True)
class Result:
    """What one contestant, or one schedule of the bare loop, measured.

    per_s:      answers of 200 per second in each round, by number of clients that wait for each answer
    lone_ms:    p50 of one such client in each round
    load_ms:    processor milliseconds of the load generator for a request, in each round
    others:     answers other than 200, and requests without an answer
    memory_mb:  of all its processes, after the load
    idle_share: of a core, while there are no requests
    reason:     why it takes no further turns; empty if it does
    """

    per_s: dict[int, list[float]] = field(default_factory=dict)
    lone_ms: list[float] = field(default_factory=list)
    load_ms: list[float] = field(default_factory=list)
    others: int = 0
    memory_mb: float = 0.0
    idle_share: float = 0.0
    reason: str = ""


Results = Mapping[str, Result]


@dataclass(frozen=True, kw_only=True)
class OpenLoop:
    """One contestant in an open loop at one share of the bare loop's rate; latencies count from when requests were due.

    p99_ms: of each turn
    all_p50_ms, all_p99_ms: of all turns together
    load_share: of a core, that the load generator used
    """

    name: str
    share: float
    p99_ms: Sequence[float]
    all_p50_ms: float
    all_p99_ms: float
    requests: int
    others: int
    load_share: float


@dataclass(frozen=True, kw_only=True)
class Overload:
    """One contestant in an open loop at three times the bare loop's rate.

    shares: answers of 200 per second divided by the bare loop's rate a moment before, one per turn
    refused, refused_p99_ms: how many requests were refused, and how fast
    others: requests that were neither answered nor refused
    before_mb, after_mb: memory after the first turn, and after the last
    load_share: of a core, that the load generator used
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
    """A demand, what was measured for it, and whether the demand holds."""

    demand: str
    measured: str
    holds: bool


def best_schedule(loops: Results, clients: int) -> str:
    """The schedule of the bare loop with the most images per second."""
    return max(loops, key=lambda schedule: median(loops[schedule].per_s[clients]))


def running(results: Results, clients: int) -> dict[str, Result]:
    """The contestants that still take part and took turns with so many clients."""
    remaining = {name: one for name, one in results.items() if not one.reason}
    return {name: one for name, one in remaining.items() if (one.lone_ms if clients == 1 else one.per_s.get(clients))}


def contest_table(results: Results, loops: Results, clients: Sequence[int]) -> str:
    """A row for each contestant, sorted by answers per second with the first number of `clients`."""
    head = ["", "p50 alone, ms"]
    for number in clients:
        head += [f"per second, {number} clients", "x bare loop"]
    head += ["memory, MB", "idle, of a core", "load generator, ms per request", "not answered with 200"]
    rows: list[list[str]] = []
    for schedule, one in loops.items():
        rows.append([f"bare loop, {schedule}", *_figures(one, loops, clients), "", "", "", ""])
    ran = {name: one for name, one in results.items() if (one.lone_ms or one.per_s) and not one.reason}
    for name in sorted(ran, key=lambda name: -median(ran[name].per_s.get(clients[0], [0.0]))):
        one = ran[name]
        cost = f"{median(one.load_ms):.2f}" if one.load_ms else ""
        kept = [f"{one.memory_mb:.0f}", f"{one.idle_share:.1%}", cost, str(one.others)]
        rows.append([name, *_figures(one, loops, clients), *kept])
    left = [f"\n{name} left: {result.reason}" for name, result in results.items() if result.reason]
    return "\n".join([markdown_table(head, rows), *left])


def open_loop_table(open_loops: Sequence[OpenLoop]) -> str:
    """A row for each contestant and share of the bare loop's rate."""
    head = ["", "share of the ceiling", "p99, ms, median of the turns", "p50, ms, all turns", "p99, ms, all turns"]
    head += ["requests", "not answered with 200", "load generator, of a core"]
    rows: list[list[str]] = []
    for one in open_loops:
        times = [f"{median(one.p99_ms):.1f}", f"{one.all_p50_ms:.1f}", f"{one.all_p99_ms:.1f}"]
        counts = [str(one.requests), str(one.others), f"{one.load_share:.1%}"]
        rows.append([one.name, f"{one.share:.0%}", *times, *counts])
    return markdown_table(head, rows)


def overload_table(overloads: Sequence[Overload]) -> str:
    """A row for each contestant."""
    head = ["", "goodput x bare loop", "refused", "p99 of refusals, ms", "neither", "memory, MB"]
    head += ["load generator, of a core"]
    rows: list[list[str]] = []
    for one in overloads:
        memory = f"{one.before_mb:.0f}, then {one.after_mb:.0f}"
        refusals = [str(one.refused), f"{one.refused_p99_ms:.1f}", str(one.others)]
        rows.append([one.name, f"{median(one.shares):.3f}", *refusals, memory, f"{one.load_share:.1%}"])
    return markdown_table(head, rows)


def bar_table(bars: Iterable[Bar]) -> str:
    """A row for each demand, with what was measured for it."""
    rows = [[bar.demand, bar.measured, "yes" if bar.holds else "NO"] for bar in bars]
    return markdown_table(["demand", "measured", "holds"], rows)


def ceiling_bars(results: Results, loops: Results, clients: Sequence[int]) -> list[Bar]:
    """The bars of the worker beside the best schedule of the bare loop."""
    ours, bars = results[OURS], []
    for number in clients:
        mine, best = ours.per_s[number], loops[best_schedule(loops, number)].per_s[number]
        share = paired_ratio(mine, best)
        measured = f"{share:.3f} ({median(mine):.1f} of {median(best):.1f})"
        bars.append(Bar(f"at least 0.95 x bare loop at {number} clients", measured, share >= 0.95))
    alone = next(iter(loops.values())).lone_ms
    more_ms = _above(ours.lone_ms, alone)
    measured = f"{more_ms:.2f} ms ({median(ours.lone_ms):.1f} against {median(alone):.1f})"
    bare = running(results, 1).get(BARE_SOCKET)
    if bare is not None:
        measured += f"; a {BARE_SOCKET} {_above(bare.lone_ms, alone):.2f} ms"
    return [*bars, Bar("alone at most 1 ms above decode + predict", measured, more_ms <= 1)]


def rival_bars(results: Results, *, table: str, flask_times: float | None) -> list[Bar]:
    """The bars of the worker beside the rivals: first at 16 clients and alone, and `flask_times` as fast as Flask."""
    ours = results[OURS]
    bars = []
    rates = {name: one.per_s[16] for name, one in _others(results, 16).items()}
    if rates:
        best = min(rates, key=lambda name: paired_ratio(ours.per_s[16], rates[name]))
        bars.append(_ahead(f"{table}: most per second at 16", ours.per_s[16], best, rates[best]))
    lone = {name: one.lone_ms for name, one in _others(results, 1).items()}
    if lone:
        quickest = max(lone, key=lambda name: paired_ratio(ours.lone_ms, lone[name]))
        bars.append(_ahead(f"{table}: least p50 alone, ms", ours.lone_ms, quickest, lone[quickest], less=True))
    if flask_times is not None and "Flask" in rates:
        demand = f"{table}: {flask_times:g} x Flask at 16"
        bars.append(_ahead(demand, ours.per_s[16], "Flask", rates["Flask"], times=flask_times))
    faster = running(results, 16).get(OURS_BF16)
    if faster is not None and "Flask" in rates:
        demand = f"{table}: in bf16 {BF16_FLASK_TIMES:g} x Flask at 16"
        bars.append(_ahead(demand, faster.per_s[16], "Flask", rates["Flask"], times=BF16_FLASK_TIMES))
    return bars


def open_loop_bars(open_loops: Sequence[OpenLoop]) -> list[Bar]:
    """The bars in an open loop: the worker's p99 beside the best rival's at each share of the bare loop's rate."""
    theirs = {one.share: one for one in open_loops if one.name != OURS}
    pairs = [(one, theirs[one.share]) for one in open_loops if one.name == OURS and one.share in theirs]
    return [
        _ahead(f"p99 at {one.share:.0%} of the bare loop, ms", one.p99_ms, other.name, other.p99_ms, less=True)
        for one, other in pairs
    ]


def overload_bars(overload: Overload) -> list[Bar]:
    """The bars in overload."""
    share = median(overload.shares)
    quick = f"{overload.refused_p99_ms:.1f} ms of {overload.refused}"
    memory = f"{overload.before_mb:.0f} MB, then {overload.after_mb:.0f} MB"
    return [
        Bar("overload: goodput at least 0.9 x bare loop", f"{share:.3f}", share >= 0.9),
        Bar("overload: p99 of refusals under 10 ms", quick, overload.refused_p99_ms < 10),
        Bar("overload: nothing but answers and refusals", f"{overload.others} others", overload.others == 0),
        Bar("overload: memory within 5%", memory, overload.after_mb <= 1.05 * overload.before_mb),
    ]


def best_rival(results: Results) -> str | None:
    """The rival with the most answers per second at 16 clients."""
    ran = _others(results, 16)
    return max(ran, key=lambda name: median(ran[name].per_s[16])) if ran else None


def _others(results: Results, clients: int) -> dict[str, Result]:
    """The rivals that still take part."""
    return {name: one for name, one in running(results, clients).items() if name not in (OURS, OURS_BF16, BARE_SOCKET)}


def _above(ms: Sequence[float], bare_ms: Sequence[float]) -> float:
    """The median, over the rounds, of the difference to the bare loop in ms."""
    return median(more - bare for more, bare in zip(ms, bare_ms, strict=False))  # one that left has fewer rounds


def _ahead(
    demand: str, ours: Sequence[float], name: str, theirs: Sequence[float], *, times: float = 1, less: bool = False
) -> Bar:
    ratio = paired_ratio(ours, theirs)
    measured = f"{ratio:.3f} x {name} ({median(ours):.1f} against {median(theirs):.1f})"
    return Bar(demand, measured, ratio < 1 if less else ratio > 1 if times == 1 else ratio >= times)


def _figures(one: Result, loops: Results, clients: Sequence[int]) -> list[str]:
    cells = [f"{median(one.lone_ms):.1f}" if one.lone_ms else ""]
    for number in clients:
        rates = one.per_s.get(number)
        best = loops[best_schedule(loops, number)].per_s[number]
        cells += [f"{median(rates):.1f}", f"{paired_ratio(rates, best):.3f}"] if rates else ["", ""]
    return cells
