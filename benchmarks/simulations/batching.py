"""Batching policies beside each other, simulated: ours, greedy, and fixed windows of 10 and 100 ms.

    python -m benchmarks.simulations.batching [--images 20000] [--picture docs/explanation/batching.svg]
    python -m benchmarks.simulations.batching --measure   # measures the pace table on this machine first, and keeps it

Arrivals (Poisson, and recorded ones of `benchmarks.simulations.record_arrivals`, stretched in time) -> decoding threads
-> the policy -> one engine, whose seconds by batch size were measured. Each at 20, 50, 80 and 95% of what it can do
with full batches. Ours is `worker.batching.policy` itself, as the worker calls it. The simulation knows no noise, and
decoding takes nothing from the engine: it compares policies, and says nothing of what a machine gives.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.simulations.batching_plot import picture
from benchmarks.simulations.simulated_worker import Outcome, Policy, Seen, Table, simulate, simulate_loop
from worker.batching.policy import Pace, gather_s

HERE = Path(__file__).parent
PACE_FILE, ARRIVALS_FILE = HERE / "pace.json", HERE / "arrivals.json"
LOADS = (0.2, 0.5, 0.8, 0.95)
CLIENTS = (1, 4, 16, 64)


def ours(pace: Pace, seen: Seen) -> float:
    wait_s = gather_s(pace, queued=seen.queued, coming=seen.coming, just_finished=seen.just_finished)
    return seen.free_since_s + wait_s


def greedy(_: Pace, seen: Seen) -> float:
    return seen.free_since_s


def window(window_s: float) -> Policy:
    """A batch begins when it is full, or when its first image has waited so long."""
    return lambda _, seen: seen.oldest_since_s + window_s


POLICIES: Mapping[str, Policy] = {
    "window of 100 ms": window(0.1),
    "window of 10 ms": window(0.01),
    "greedy": greedy,
    "ours": ours,
}


def poisson(rate: float, images: int) -> list[float]:
    """Times of arrival in seconds; the same at every call."""
    chance, now_s, times_s = random.Random(1), 0.0, []
    for _ in range(images):
        now_s += chance.expovariate(rate)
        times_s.append(now_s)
    return times_s


def recorded(rate: float, images: int, gaps_ms: Sequence[float]) -> list[float]:
    """The recorded gaps, again and again, stretched so that `rate` images a second arrive in the mean."""
    stretch = len(gaps_ms) / sum(gaps_ms) / rate
    now_s, times_s = 0.0, []
    for number in range(images):
        now_s += gaps_ms[number % len(gaps_ms)] * stretch
        times_s.append(now_s)
    return times_s


Results = Mapping[str, Mapping[str, Mapping[float, Outcome]]]
"""By arrivals, policy and load."""


def compare(table: Table, gaps_ms: Sequence[float], images: int) -> Results:
    """Every policy under both kinds of arrivals at every load."""
    full = 1 / table.pace.image_s
    ways: Mapping[str, Callable[[float], list[float]]] = {
        "Poisson arrivals": lambda rate: poisson(rate, images),
        "recorded arrivals": lambda rate: recorded(rate, images, gaps_ms),
    }
    return {
        way: {
            name: {load: simulate(table, policy, arrivals(load * full)) for load in LOADS}
            for name, policy in POLICIES.items()
        }
        for way, arrivals in ways.items()
    }


def rows(results: Results) -> Iterator[str]:
    """The Markdown table of docs/explanation/batching.md."""
    yield "| arrivals | load | policy | p50, ms | p99, ms | images a second | images a batch |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for way, policies in results.items():
        for load in LOADS:
            for name, outcomes in policies.items():
                outcome = outcomes[load]
                p50, p99 = (outcome.quantile_s(share) * 1000 for share in (0.5, 0.99))
                yield (
                    f"| {way} | {load:.0%} | {name} | {p50:.1f} | {p99:.1f} | {outcome.images_s:.1f} "
                    f"| {outcome.mean_batch:.1f} |"
                )


def loop_rows(table: Table, images: int) -> Iterator[str]:
    """The other Markdown table: clients in a closed loop."""
    yield "| clients | policy | p50, ms | p99, ms | images a second | images a batch |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for clients in CLIENTS:
        for name, policy in POLICIES.items():
            outcome = simulate_loop(table, policy, clients=clients, images=images)
            p50, p99 = (outcome.quantile_s(share) * 1000 for share in (0.5, 0.99))
            yield f"| {clients} | {name} | {p50:.1f} | {p99:.1f} | {outcome.images_s:.1f} | {outcome.mean_batch:.1f} |"


def _quantiles_ms(results: Results, share: float) -> dict[str, dict[str, dict[float, float]]]:
    return {
        way: {
            name: {load: outcome.quantile_s(share) * 1000 for load, outcome in outcomes.items()}
            for name, outcomes in policies.items()
        }
        for way, policies in results.items()
    }


def read_table() -> Table:
    raw = json.loads(PACE_FILE.read_text())
    seconds = {int(size): took_ms / 1000 for size, took_ms in raw["batch_ms"].items()}
    return Table(seconds, raw["decode_ms"] / 1000, raw["machine"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--measure", action="store_true")
    asked = parser.parse_args()
    if asked.measure:
        from benchmarks.simulations.measure_pace import measure

        PACE_FILE.write_text(json.dumps(measure(), indent=1) + "\n")
    table, gaps_ms = read_table(), json.loads(ARRIVALS_FILE.read_text())["gaps_ms"]
    results = compare(table, gaps_ms, asked.images)
    print(f"{table.machine}; batches of up to {table.pace.cap}, {1 / table.pace.image_s:.0f} images a second at most")
    print("\n".join([*rows(results), "", *loop_rows(table, asked.images)]))
    if asked.picture:
        asked.picture.write_text(
            picture({name: _quantiles_ms(results, share) for name, share in (("median", 0.5), ("p99", 0.99))})
        )


if __name__ == "__main__":
    main()
