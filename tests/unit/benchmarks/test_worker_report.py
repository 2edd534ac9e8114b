"""What the worker's benchmark concludes from its numbers."""

from __future__ import annotations

from benchmarks.rivals.contestant import rivals
from benchmarks.worker_report import (
    OURS,
    Bar,
    Ceiling,
    Flood,
    Paced,
    Sample,
    Standing,
    best_rival,
    ceiling_bars,
    contest_table,
    flood_bars,
    paced_bars,
    rival_bars,
)

CEILINGS = [Ceiling(4, True, 100.0, 10.0, "cat")] * 3


def standing(*, alone_ms: float, per_s: float) -> Standing:
    return Standing([Sample(alone_ms, {16: per_s, 64: per_s}, 0, 300.0)] * 3)


def held(bars: list[Bar]) -> list[bool]:
    return [bar.holds for bar in bars]


def test_medians_count_and_not_the_best_round() -> None:
    """One lucky round of three does not lift a contestant."""
    lucky = Standing([Sample(9.0, {16: rate}, 0, 1.0) for rate in (50.0, 99.0, 51.0)])
    assert lucky.per_s(16) == 51.0


def test_the_worker_is_held_to_the_bare_loop() -> None:
    """95 of 100 a second and 1 ms more are enough, 94 and 1.1 ms are not."""
    assert held(ceiling_bars({OURS: standing(alone_ms=11, per_s=95)}, CEILINGS, (16, 64))) == [True] * 3
    assert held(ceiling_bars({OURS: standing(alone_ms=11.1, per_s=94)}, CEILINGS, (16, 64))) == [False] * 3


def test_the_worker_is_held_to_the_best_rival_in_each_figure() -> None:
    """One rival has more throughput, another less latency: each bar names the one that counts."""
    field = {
        OURS: standing(alone_ms=12, per_s=90),
        "Flask": standing(alone_ms=11, per_s=30),
        "Mosec": standing(alone_ms=30, per_s=91),
        "BentoML": Standing(reason="it cannot be installed"),
    }
    bars = rival_bars(field, table="(b)", flask_times=3)
    assert held(bars) == [False, False, True]
    assert "Mosec" in bars[0].measured
    assert "Flask" in bars[1].measured
    assert best_rival(field) == "Mosec"


def test_who_could_not_run_is_named_with_the_reason() -> None:
    """A rival without a figure is not dropped in silence."""
    field = {OURS: standing(alone_ms=12, per_s=90), "Mosec": Standing(reason="no such package")}
    assert "Mosec left: no such package" in contest_table(field, CEILINGS, (16, 64))


def test_overload_is_held_to_goodput_refusals_and_memory() -> None:
    """Each demand falls by itself."""
    assert held(flood_bars(Flood(90, 500, 9.0, 0, 100, 105), 100)) == [True] * 4
    assert held(flood_bars(Flood(89, 500, 10.5, 1, 100, 106), 100)) == [False] * 4


def test_nothing_answered_is_no_victory() -> None:
    """A p99 of no answers is not a number, and loses; so do refusals that never came."""
    nothing = float("nan")
    paced = [Paced(OURS, 0.5, nothing, nothing, 9, 9), Paced("Mosec", 0.5, 5, 9, 9, 0)]
    assert held(paced_bars(paced)) == [False]
    assert held(flood_bars(Flood(90, 0, nothing, 0, 100, 100), 100))[1] is False


def test_every_rival_says_what_it_installs_by_exact_version() -> None:
    """So that a figure can be had again."""
    found = rivals()
    assert [rival.name for rival in found] == ["BentoML", "Flask", "LitServe", "MLServer", "Mosec", "Ray Serve"]
    assert all("==" in requirement for rival in found for requirement in rival.requires)
    assert all("{port}" in " ".join(command) for rival in found for command in (rival.best, rival.quickstart))
