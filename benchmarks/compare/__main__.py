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
import sys
from pathlib import Path

from benchmarks.compare.comparison import BASE, HEAD, THIS, compare
from benchmarks.compare.contests import CONTESTS
from benchmarks.harness.p2p import ROOT, imported_from
from benchmarks.harness.processes import require_programs
from benchmarks.harness.rounds import progress
from benchmarks.harness.summary import markdown_row, markdown_table


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
        for file in imported_from(folder):
            if not file.is_relative_to(folder):
                sys.exit(f"{who}: Python imports {file}, which does not lie in {folder}.")
        progress(f"{who}: {folder}")
    print(markdown_table(HEAD, ()), flush=True)
    for part in options.parts or CONTESTS:
        for name, started in CONTESTS[part](options).items():
            print(markdown_row(compare(name, started, checkouts, rounds=options.rounds)), flush=True)


if __name__ == "__main__":
    main()
