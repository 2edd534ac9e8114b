"""Batching policies, simulated: ours, and fixed windows of 10 and 100 ms.

    python -m benchmarks.simulations.batching [--images 20000] [--picture docs/explanation/batching.svg]
    python -m benchmarks.simulations.batching --measure   # measures the pace table on this machine first, and keeps it

Images arrive (Poisson, or as recorded by `benchmarks.simulations.record_arrivals` and stretched in time), are decoded,
wait, and run in batches on one engine, whose seconds by batch size were measured. The load is 20, 50, 80 and 95% of
what the engine can do with full batches. "ours" takes what is queued as soon as the engine is free, in batches of the
worker's own `worker.batching.policy`. In the simulation there is no noise, and decoding takes no processor time from
the engine: it compares policies with each other, but does not predict the figures of a machine.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.harness.summary import markdown_table
from benchmarks.plots import save_batching
from benchmarks.simulations.simulated_worker import BatchTimes, Outcome, Policy, QueueState, simulate, simulate_loop
from worker.batching.policy import Pace

HERE = Path(__file__).parent
PACE_FILE, ARRIVALS_FILE = HERE / "pace.json", HERE / "arrivals.json"
LOADS = (0.2, 0.5, 0.8, 0.95)
CLIENTS = (1, 4, 16, 64)
HEAD = ("p50, ms", "p99, ms", "images per second", "images per batch")


def ours(_: Pace, state: QueueState) -> float:
    return state.free_since_s


def window(window_s: float) -> Policy:
    """A batch begins when it is full, or when its first image has waited for this long."""
    return lambda _, state: state.oldest_since_s + window_s


POLICIES: Mapping[str, Policy] = {
    "window of 100 ms": window(0.1),
    "window of 10 ms": window(0.01),
    "ours": ours,
}


def poisson(rate: float, images: int) -> list[float]:
    """Times of arrival in seconds, the same at every call."""
    chance, now_s, times_s = random.Random(1), 0.0, []
    for _ in range(images):
        now_s += chance.expovariate(rate)
        times_s.append(now_s)
    return times_s


def recorded(rate: float, images: int, gaps_ms: Sequence[float]) -> list[float]:
    """Times of arrival in seconds: the recorded gaps, repeated and stretched to `rate` images per second."""
    stretch = len(gaps_ms) / sum(gaps_ms) / rate
    now_s, times_s = 0.0, []
    for number in range(images):
        now_s += gaps_ms[number % len(gaps_ms)] * stretch
        times_s.append(now_s)
    return times_s


Results = Mapping[str, Mapping[str, Mapping[float, Outcome]]]
"""By arrivals, policy and load."""


def compare(times: BatchTimes, gaps_ms: Sequence[float], images: int) -> Results:
    """Every policy under both kinds of arrivals at every load."""
    full = 1 / times.pace.image_s
    ways: Mapping[str, Callable[[float], list[float]]] = {
        "Poisson arrivals": lambda rate: poisson(rate, images),
        "recorded arrivals": lambda rate: recorded(rate, images, gaps_ms),
    }
    return {
        way: {
            name: {load: simulate(times, policy, arrivals(load * full)) for load in LOADS}
            for name, policy in POLICIES.items()
        }
        for way, arrivals in ways.items()
    }


def load_table(results: Results) -> str:
    """The table of docs/explanation/batching.md by arrivals, load and policy."""
    rows = [
        [arrivals, f"{load:.0%}", name, *_cells(policies[name][load])]
        for arrivals, policies in results.items()
        for load in LOADS
        for name in policies
    ]
    return markdown_table(["arrivals", "load", "policy", *HEAD], rows)


def loop_table(times: BatchTimes, images: int) -> str:
    """The table of docs/explanation/batching.md by number of clients in a closed loop and policy."""
    rows = [
        [str(clients), name, *_cells(simulate_loop(times, policy, clients=clients, images=images))]
        for clients in CLIENTS
        for name, policy in POLICIES.items()
    ]
    return markdown_table(["clients", "policy", *HEAD], rows)


def _cells(outcome: Outcome) -> list[str]:
    p50, p99 = (outcome.quantile_s(share) * 1000 for share in (0.5, 0.99))
    return [f"{p50:.1f}", f"{p99:.1f}", f"{outcome.images_s:.1f}", f"{outcome.mean_batch:.1f}"]


def _quantiles_ms(results: Results, share: float) -> dict[str, dict[str, dict[float, float]]]:
    """A quantile of the latencies in ms, by arrivals, policy and load."""
    return {
        way: {
            name: {load: outcome.quantile_s(share) * 1000 for load, outcome in outcomes.items()}
            for name, outcomes in policies.items()
        }
        for way, policies in results.items()
    }


def read_times() -> BatchTimes:
    """The recorded times of an engine."""
    raw = json.loads(PACE_FILE.read_text())
    seconds = {int(size): took_ms / 1000 for size, took_ms in raw["batch_ms"].items()}
    return BatchTimes(seconds, raw["decode_ms"] / 1000, raw["machine"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--measure", action="store_true")
    options = parser.parse_args()
    if options.measure:
        from benchmarks.simulations.measure_pace import measure

        PACE_FILE.write_text(json.dumps(measure(), indent=1) + "\n")
    times, gaps_ms = read_times(), json.loads(ARRIVALS_FILE.read_text())["gaps_ms"]
    results = compare(times, gaps_ms, options.images)
    print(f"{times.machine}; batches of up to {times.pace.cap}, {1 / times.pace.image_s:.0f} images per second at most")
    print(f"{load_table(results)}\n\n{loop_table(times, options.images)}")
    if options.picture:
        panels = {name: _quantiles_ms(results, share) for name, share in (("median", 0.5), ("p99", 0.99))}
        save_batching(options.picture, panels)


if __name__ == "__main__":
    main()
