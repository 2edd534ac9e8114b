"""The product of another checkout beside that of this one: lookups, images and calls per second, and processor time.

    python -m benchmarks.compare --base FOLDER [--rounds 10] [--seconds 2] [lookup|worker|client]...

Both run at the same time and take short turns, whose order is reversed every second round; only the one whose turn it
is gets load. Only public commands, HTTP and `p2pclient.AsyncClient` and `Client` are used, so that the two may have
different modules; load generators, the Consul agent, and what a part depends on but does not measure are of this
checkout for both. Of each figure: the medians, their ratio, the median of the ratios of all rounds with the lowest and
the highest, and the ratio of processor time. Takes six minutes on a quiet machine; the first run takes longer,
since each checkout exports the default model.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.compare.contests import CONTESTS, Started
from benchmarks.harness.p2p import ROOT, imported_from
from benchmarks.harness.processes import require_programs
from benchmarks.harness.rounds import progress
from benchmarks.harness.summary import markdown_row, markdown_table, paired_ratio

BASE, THIS = "base", "this"

STARTS = 2
"""How often the processes are started: what they calibrate at their start, and where their memory lies, then varies."""


def compare(name: str, started: Started, checkouts: Mapping[str, Path], *, rounds: int) -> list[str]:
    """The row of one figure, measured in alternating turns of processes that are started STARTS times."""
    rates: dict[str, list[float]] = {BASE: [], THIS: []}
    costs: dict[str, list[float]] = {BASE: [], THIS: []}
    for _ in range(STARTS):
        with started(checkouts) as turns:
            for number in range(math.ceil(rounds / STARTS) + 1):
                for who in (BASE, THIS) if number % 2 else (THIS, BASE):
                    measured = turns[who]()
                    if number:  # the first round warms up
                        rates[who].append(measured.per_s)
                        costs[who].append(measured.cpu_us)
    progress(f"{name}: measured")
    base, this = median(rates[BASE]), median(rates[THIS])
    ratios = [mine / theirs for mine, theirs in zip(rates[THIS], rates[BASE], strict=True)]
    paired = f"{paired_ratio(rates[THIS], rates[BASE]):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    cost = [f"{median(costs[THIS]):.1f}", f"{median(costs[THIS]) / median(costs[BASE]):.3f}"]
    return [name, f"{base:,.1f}", f"{this:,.1f}", f"{this / base:.3f}", paired, *cost]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="|".join(CONTESTS), help="all if none is given")
    parser.add_argument("--base", type=Path, required=True, help="the folder of the other checkout")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn")
    parser.add_argument("--model-engine", default="onnx", help="the engine of the default model")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(CONTESTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    require_programs("wrk")
    checkouts = {BASE: options.base.resolve(), THIS: ROOT}
    for who, folder in checkouts.items():
        found = imported_from(folder)
        if not found.is_relative_to(folder):
            sys.exit(f"{who}: Python imports the product from {found}, not from {folder}.")
        progress(f"{who}: {folder}")
    head = ["", "base, per second", "this, per second", "ratio of medians", "median of ratios (lowest, highest)"]
    print(markdown_table([*head, "this, processor us each", "ratio of processor time"], ()), flush=True)
    for part in options.parts or CONTESTS:
        for name, started in CONTESTS[part](options).items():
            print(markdown_row(compare(name, started, checkouts, rounds=options.rounds)), flush=True)


if __name__ == "__main__":
    main()
