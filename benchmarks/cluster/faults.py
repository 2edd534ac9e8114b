"""What clients see of each fault of a real cluster: the table of docs/measurements/faults.md.

    python -m benchmarks.cluster.faults [--rounds 3] [--lasting 20] [--only NAME ...]

The cluster, the clients and the faults are those of tests/support/cluster. Each fault lasts for a while and is repeated
in every round. A gap is the longest time that any client waited between two answers.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness.rounds import progress
from benchmarks.harness.summary import markdown_table
from tests.support.cluster.cluster import Cluster, running_cluster
from tests.support.cluster.faults import FAULTS, HARSHER, Fault, Outcome, suffer
from tests.support.cluster.load import Tally, picture
from tests.support.consul_binary.fetch import find_or_fetch


@dataclass
class Row:
    """All rounds of a fault; `stranded` are predictions of clients whose only lookup service was gone."""

    fault: Fault
    lookups: Tally = field(default_factory=Tally)
    predictions: Tally = field(default_factory=Tally)
    stranded: Tally = field(default_factory=Tally)
    normal_after_s: list[float] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Add a round."""
        self.normal_after_s.append(outcome.normal_after_s)
        for tally in outcome.load.lookups.values():
            self.lookups.add(tally)
        for name, tally in outcome.load.predictions.items():
            (self.stranded if name in outcome.load.gone else self.predictions).add(tally)

    def cells(self) -> list[str]:
        after = (
            f"{statistics.median(self.normal_after_s):.1f} s ({max(self.normal_after_s):.1f} s) from {self.fault.since}"
        )
        return [self.fault.what, *_cells(self.lookups), *_cells(self.predictions), after]


def _cells(tally: Tally) -> tuple[str, str]:
    return f"{tally.failed} of {tally.asked:,}", f"{tally.gap_s:.2f} s"


def table(rows: Sequence[Row]) -> str:
    """The table in Markdown; below it what clients saw whose only lookup service was gone, and reasons of failures."""
    head = ["fault", "lookups failed", "longest gap", "predictions failed", "longest gap"]
    lines = [markdown_table([*head, "right again, median (worst)"], (row.cells() for row in rows))]
    for row in rows:
        if row.stranded.asked:
            failed, gap = _cells(row.stranded)
            lines.append(
                f"\n{row.fault.name}: clients that knew it alone: predictions failed {failed}, longest gap {gap}."
            )
        for reason, times in (row.lookups.reasons + row.predictions.reasons + row.stranded.reasons).most_common(3):
            lines.append(f"\n{row.fault.name}: {times} x {reason}")
    return "\n".join(lines)


async def measure(cluster: Cluster, faults: Iterable[Fault], *, rounds: int, lasting_s: float) -> list[Row]:
    """Every fault in turn, in every round."""
    rows = [Row(fault) for fault in faults if cluster.network.has_cables or not fault.needs_cables]
    for number in range(rounds):
        for row in rows:
            row.add(await suffer(cluster, row.fault, picture(64, 48), lasting_s=lasting_s))
            progress(f"round {number + 1} of {rounds}: {row.fault.name}")
    return rows


async def run(arguments: argparse.Namespace) -> None:
    """Start the cluster, measure, print."""
    faults = [fault for fault in (*FAULTS, *HARSHER) if fault.name in arguments.only]
    with tempfile.TemporaryDirectory() as folder:
        async with running_cluster(find_or_fetch(), Path(folder)) as cluster:
            rows = await measure(cluster, faults, rounds=arguments.rounds, lasting_s=arguments.lasting)
    print(table(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lasting", type=float, default=20.0, help="seconds that a fault lasts")
    names = [fault.name for fault in (*FAULTS, *HARSHER)]
    parser.add_argument("--only", nargs="*", default=names, choices=names, help="names of faults")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
