"""Attacks on a deployment, and what 20 well-behaved callers and the memory of each process notice of them.

    python -m benchmarks.attack [--kind N ...] [--workers 1,3] [--seconds 15] [--engine onnx]

For one worker and for three, and for each kind of attack: 20 callers of p2pclient make 40 predictions per second,
first without the attack and then with it. No prediction may fail, 99 of 100 may take at most 3 times as long as
without the attack (where pictures are what is expensive, all must be answered by their deadline), and no process may
take more memory than docs/reference/limits.md says. Attackers run at the lowest priority and at a rate. The exit code
is 1 if something does not hold. All kinds take 20 minutes.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.attack.callers import started_callers
from benchmarks.attack.catalogue import KINDS
from benchmarks.attack.deployment import deployment
from benchmarks.attack.trial import HEAD, try_kind
from benchmarks.harness.rounds import progress
from benchmarks.harness.summary import markdown_table


def counts(text: str) -> list[int]:
    """Numbers of workers, with commas between."""
    return [int(count) for count in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--kind", type=int, nargs="*", default=list(KINDS), choices=list(KINDS), help="numbers of kinds"
    )
    parser.add_argument("--workers", type=counts, default=[1, 3], help="how many workers, with commas between")
    parser.add_argument("--seconds", type=float, default=15.0, help="without each attack, and with it")
    parser.add_argument("--engine", default="onnx", help="the engine of the default model")
    options = parser.parse_args()
    print(markdown_table(HEAD, ()), flush=True)
    held = True
    for workers in options.workers:
        for number in options.kind:
            with (
                deployment(workers=workers, engine=options.engine) as deployed,
                started_callers(deployed.targets) as callers,
            ):
                trial = try_kind(number, deployed, callers, seconds=options.seconds, engine=options.engine)
            print(trial.row(), flush=True)
            progress(f"kind {number}, {workers} workers: {dict(trial.findings.outcomes)}")
            held &= not trial.faults()
    sys.exit(not held)


if __name__ == "__main__":
    main()
