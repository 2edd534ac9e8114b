"""What benchmarks.worker measured -> tables in Markdown, and which bars hold: pure functions over plain numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

OURS = "p2p worker"


@dataclass(frozen=True)
class Sample:
    """One contestant in one round.

    lone_ms:   p50 of one client that waits for each answer
    per_s:     answers of 200 a second, by number of such clients
    others:    answers that were no 200, and requests without one
    memory_mb: of all its processes, after the load
    """

    lone_ms: float
    per_s: Mapping[int, float]
    others: int
    memory_mb: float


@dataclass
class Standing:
    """What one contestant did over the rounds, and why it left, if it did."""

    samples: list[Sample] = field(default_factory=list)
    reason: str = ""

    @property
    def lone_ms(self) -> float:
        return median(sample.lone_ms for sample in self.samples)

    @property
    def memory_mb(self) -> float:
        return median(sample.memory_mb for sample in self.samples)

    @property
    def others(self) -> int:
        return sum(sample.others for sample in self.samples)

    def per_s(self, clients: int) -> float:
        return median(sample.per_s[clients] for sample in self.samples)


Standings = Mapping[str, Standing]


@dataclass(frozen=True)
class Ceiling:
    """The bare loop, one round: images a second in its best way, and a lone decode and predict."""

    batch: int
    ahead: bool
    per_s: float
    lone_ms: float
    label: str


@dataclass(frozen=True)
class Paced:
    """One contestant at one share of the ceiling: p50 and p99 from when requests were due, and how many failed."""

    name: str
    share: float
    p50_ms: float
    p99_ms: float
    asked: int
    others: int


@dataclass(frozen=True)
class Flood:
    """Three times the ceiling: what was answered, how fast the rest was refused, memory before and after."""

    goodput_per_s: float
    refused: int
    refused_p99_ms: float
    others: int
    before_mb: float
    after_mb: float


@dataclass(frozen=True)
class Bar:
    """One demand: what was measured for it, and whether that is enough."""

    demand: str
    measured: str
    holds: bool


def contest_table(standings: Standings, ceilings: Sequence[Ceiling], clients: Sequence[int]) -> str:
    """Medians of the contestants that ran, best throughput at the first of `clients` first."""
    heads = ["", "p50 alone, ms", *(f"a second, {n} clients" for n in clients), "memory, MB", "not answered with 200"]
    rows = [_row(heads), _row(["---"] * len(heads))]
    if ceilings:
        rate = f"{_per_s(ceilings):.1f}"
        rows.append(_row(["bare loop", f"{_lone(ceilings):.1f}", *[rate] * len(clients), "", ""]))
    ran = {name: standing for name, standing in standings.items() if standing.samples}
    for name in sorted(ran, key=lambda name: -ran[name].per_s(clients[0])):
        one = ran[name]
        rates = [f"{one.per_s(n):.1f}" for n in clients]
        rows.append(_row([name, f"{one.lone_ms:.1f}", *rates, f"{one.memory_mb:.0f}", str(one.others)]))
    left = [f"\n{name} left: {standing.reason}" for name, standing in standings.items() if standing.reason]
    return "\n".join([*rows, *left])


def paced_table(paced: Sequence[Paced]) -> str:
    """Open loop: a row for each contestant and share of the ceiling."""
    heads = ["", "share of the ceiling", "p50, ms", "p99, ms", "requests", "not answered with 200"]
    rows = [_row(heads), _row(["---"] * len(heads))]
    for one in paced:
        cells = [
            one.name,
            f"{one.share:.0%}",
            f"{one.p50_ms:.1f}",
            f"{one.p99_ms:.1f}",
            str(one.asked),
            str(one.others),
        ]
        rows.append(_row(cells))
    return "\n".join(rows)


def bar_table(bars: Iterable[Bar]) -> str:
    rows = [_row(["demand", "measured", "holds"]), _row(["---"] * 3)]
    return "\n".join([*rows, *(_row([bar.demand, bar.measured, "yes" if bar.holds else "NO"]) for bar in bars)])


def ceiling_bars(standings: Standings, ceilings: Sequence[Ceiling], clients: Sequence[int]) -> list[Bar]:
    """The worker beside the bare loop."""
    ours, top, alone = standings[OURS], _per_s(ceilings), _lone(ceilings)
    bars = [
        Bar(f"at least 0.95 x bare loop at {n} clients", f"{ours.per_s(n) / top:.3f}", ours.per_s(n) >= 0.95 * top)
        for n in clients
    ]
    more_ms = ours.lone_ms - alone
    return [*bars, Bar("alone at most 1 ms above decode + predict", f"{more_ms:.2f} ms", more_ms <= 1)]


def rival_bars(standings: Standings, *, table: str, flask_times: float | None) -> list[Bar]:
    """The worker beside every other: ahead at 16 clients and alone, and some times Flask."""
    ours = standings[OURS]
    others = {name: one for name, one in standings.items() if name != OURS and one.samples}
    if not others:
        return []
    best = max(others, key=lambda name: others[name].per_s(16))
    quickest = min(others, key=lambda name: others[name].lone_ms)
    rate, alone = others[best].per_s(16), others[quickest].lone_ms
    bars = [
        Bar(f"{table}: most a second at 16", f"{ours.per_s(16):.1f}, {best} {rate:.1f}", ours.per_s(16) > rate),
        Bar(f"{table}: least p50 alone", f"{ours.lone_ms:.1f} ms, {quickest} {alone:.1f} ms", ours.lone_ms < alone),
    ]
    if flask_times is not None and "Flask" in others:
        times = ours.per_s(16) / others["Flask"].per_s(16)
        bars.append(Bar(f"{table}: {flask_times:g} x Flask at 16", f"{times:.2f}", times >= flask_times))
    return bars


def paced_bars(paced: Sequence[Paced]) -> list[Bar]:
    """At each share of the ceiling: the worker's p99 beside the best rival's."""
    theirs = {one.share: one for one in paced if one.name != OURS}
    pairs = [(one, theirs[one.share]) for one in paced if one.name == OURS and one.share in theirs]
    return [
        Bar(
            f"p99 at {one.share:.0%} of the bare loop",
            f"{one.p99_ms:.1f} ms, {other.name} {other.p99_ms:.1f} ms",
            one.p99_ms < other.p99_ms,
        )
        for one, other in pairs
    ]


def flood_bars(flood: Flood, top_per_s: float) -> list[Bar]:
    """Overload at 3 x the bare loop."""
    share = flood.goodput_per_s / top_per_s
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
    ran = {name: one for name, one in standings.items() if one.samples and name != OURS}
    return max(ran, key=lambda name: ran[name].per_s(16)) if ran else None


def _per_s(ceilings: Sequence[Ceiling]) -> float:
    return median(one.per_s for one in ceilings)


def _lone(ceilings: Sequence[Ceiling]) -> float:
    return median(one.lone_ms for one in ceilings)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
