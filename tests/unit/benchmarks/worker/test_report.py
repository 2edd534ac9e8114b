"""What the worker's benchmark concludes from its numbers."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.harness.summary import paired_ratio
from benchmarks.rivals.contestant import rivals
from benchmarks.worker.report import (
    BARE_SOCKET,
    OURS,
    OURS_BF16,
    Bar,
    OpenLoop,
    Overload,
    Result,
    best_rival,
    best_schedule,
    ceiling_bars,
    contest_table,
    open_loop_bars,
    overload_bars,
    rival_bars,
)

OVERLOAD = Overload(
    name=OURS,
    shares=[0.5, 0.9, 0.99],
    refused=500,
    refused_p99_ms=9,
    others=0,
    before_mb=100,
    after_mb=105,
    load_share=0,
)


def result(*, alone_ms: float, per_s: float) -> Result:
    return Result(lone_ms=[alone_ms] * 3, per_s={16: [per_s] * 3, 64: [per_s] * 3})


def open_loop(name: str, *p99_ms: float) -> OpenLoop:
    return OpenLoop(name=name, share=0.5, p99_ms=p99_ms, all_p50_ms=5, all_p99_ms=9, requests=9, others=0, load_share=0)


def held(bars: list[Bar]) -> list[bool]:
    return [bar.holds for bar in bars]


LOOPS = {"streams": result(alone_ms=10, per_s=100), "batches": result(alone_ms=10, per_s=90)}


def test_what_slows_a_whole_round_changes_no_ratio() -> None:
    """A machine that is half as fast in one round is so for both; medians of each alone would not show that."""
    assert paired_ratio([50.0, 80.0, 110.0], [100.0, 160.0, 110.0]) == 0.5


def test_the_worker_is_compared_with_the_best_schedule_of_the_bare_loop() -> None:
    """95 of 100 a second and 1 ms more are enough, 94 and 1.1 ms are not, whatever the slower schedule gives."""
    assert best_schedule(LOOPS, 16) == "streams"
    assert held(ceiling_bars({OURS: result(alone_ms=11, per_s=95)}, LOOPS, (16, 64))) == [True] * 3
    assert held(ceiling_bars({OURS: result(alone_ms=11.1, per_s=94)}, LOOPS, (16, 64))) == [False] * 3


def test_the_bare_socket_stands_in_the_lone_bar_and_is_not_a_rival() -> None:
    """What a bare socket adds stands with what the worker adds; being slower than it breaks no bar."""
    results = {OURS: result(alone_ms=12, per_s=95), BARE_SOCKET: Result(lone_ms=[10.5] * 3)}
    alone = ceiling_bars(results, LOOPS, (16, 64))[-1]
    assert alone.measured == "2.00 ms (12.0 against 10.0); a bare socket 0.50 ms"
    assert rival_bars(results, table="(a)", flask_times=None) == []


def test_the_worker_is_compared_with_the_best_rival_in_each_figure() -> None:
    """One rival has more throughput, another less latency: each bar names the one that counts."""
    field = {
        OURS: result(alone_ms=12, per_s=90),
        "Flask": result(alone_ms=12.5, per_s=30),
        "Flask (set for one client)": Result(lone_ms=[11.0] * 3),
        "Mosec": result(alone_ms=30, per_s=91),
        "BentoML": Result(reason="it cannot be installed"),
    }
    bars = rival_bars(field, table="(b)", flask_times=3)
    assert held(bars) == [False, False, True]
    assert "Mosec" in bars[0].measured
    assert "set for one client" in bars[1].measured
    assert best_rival(field) == "Mosec"


def test_the_worker_in_bf16_has_a_bar_of_its_own_and_is_not_a_rival() -> None:
    """It must answer four times as many as Flask; that it answers more than the worker in f32 breaks no bar."""
    field = {OURS: result(alone_ms=12, per_s=90), "Flask": result(alone_ms=50, per_s=30)}
    for per_s, holds in ((119, False), (121, True)):
        bars = rival_bars({**field, OURS_BF16: result(alone_ms=9, per_s=per_s)}, table="(b)", flask_times=3)
        assert held(bars) == [True, True, True, holds]
        assert bars[-1].demand == "(b): in bf16 4 x Flask at 16"


def test_a_rival_that_left_is_no_rival_and_is_named_with_the_reason() -> None:
    """What it did before it left decides nothing, and is not dropped in silence either."""
    gone = replace(result(alone_ms=1, per_s=900), reason="it stopped answering")
    field = {OURS: result(alone_ms=12, per_s=90), "Mosec": gone}
    assert rival_bars(field, table="(a)", flask_times=3) == []
    assert "Mosec left: it stopped answering" in contest_table(field, LOOPS, (16, 64))


def test_one_that_took_no_lone_turns_stands_in_the_table() -> None:
    """A rival whose settings for one client differ takes the crowds' turns alone, and has its row for these."""
    field = {OURS: result(alone_ms=12, per_s=90), "Mosec": replace(result(alone_ms=1, per_s=80), lone_ms=[])}
    assert "| Mosec |  | 80.0 |" in contest_table(field, LOOPS, (16, 64))
    assert best_rival(field) == "Mosec"
    assert held(
        rival_bars({**field, "Mosec": replace(field["Mosec"], per_s={16: [95] * 3})}, table="(a)", flask_times=None)
    ) == [False]


def test_overload_is_judged_by_goodput_refusals_and_memory() -> None:
    """Each demand falls by itself."""
    assert held(overload_bars(OVERLOAD)) == [True] * 4
    worse = replace(OVERLOAD, shares=[0.5, 0.89, 0.99], refused_p99_ms=10.5, others=1, after_mb=106)
    assert held(overload_bars(worse)) == [False] * 4


def test_a_server_that_answers_nothing_passes_no_bar() -> None:
    """Endless times lose, also beside endless ones; so do refusals that never came."""
    never = float("inf")
    assert held(open_loop_bars([open_loop(OURS, never, never), open_loop("Mosec", 5, 9)])) == [False]
    assert held(open_loop_bars([open_loop(OURS, never), open_loop("Mosec", never)])) == [False]
    assert held(overload_bars(replace(OVERLOAD, refused=0, refused_p99_ms=float("nan"))))[1] is False


def test_every_rival_says_what_it_installs_by_exact_version() -> None:
    """So that a figure can be had again."""
    found = rivals()
    assert [rival.name for rival in found] == ["BentoML", "Flask", "LitServe", "MLServer", "Mosec", "Ray Serve"]
    assert all("==" in requirement for rival in found for requirement in rival.requires)
    assert all("{port}" in " ".join(command) for rival in found for command in (rival.best, rival.quickstart))


def test_what_a_rival_runs_with_is_one_of_the_settings_that_were_compared() -> None:
    """Otherwise its figure would not be the best that was found."""
    for rival in rivals():
        assert rival.settings in rival.variants
        assert rival.alone in rival.variants
