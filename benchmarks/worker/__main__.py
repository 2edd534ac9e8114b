"""The worker beside the bare loop and beside rivals: throughput, lone requests, open loop, overload.

    python -m benchmarks.worker [--engine onnx] [--rounds 6] [--seconds 1.5] [--only NAME]... [--quick]

One SavedModel and the same JPEGs for all; all processes and the load share the same unpinned cores. All contestants of
a table run at the same time, paused; in each round each of them and the bare loop take a short turn. In table (a) all
have the same engine and decoder, and each framework has the settings that `benchmarks.rivals.search` found fastest;
table (b) is what each framework's quickstart gives. Rivals are installed on first use, each into an environment of its
own in the cache folder. Prints Markdown. Takes 20 to 25 minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.harness.inputs import PHOTO, default_model
from benchmarks.harness.p2p import agent
from benchmarks.worker.contests import measure
from benchmarks.worker.side_by_side import exit_on_sigterm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", default="onnx", help="of table (a) and the bare loop")
    parser.add_argument("--box-engine", default="auto", help="of the worker in table (b)")
    parser.add_argument("--model", type=Path, help="a SavedModel's folder; the worker's default model if not given")
    parser.add_argument("--image", type=Path, action="append", help="a JPEG to send; several go in turn")
    parser.add_argument("--only", action="append", metavar="NAME", help="this rival; may be repeated")
    parser.add_argument("--rounds", type=int, default=6, help="turns of each kind for each contestant")
    parser.add_argument("--seconds", type=float, default=1.5, help="of a turn")
    parser.add_argument("--quick", action="store_true", help="one round of half a second: does everything run?")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.5
    options.model = options.model or default_model()
    options.image = options.image or [PHOTO]
    exit_on_sigterm()
    with tempfile.TemporaryDirectory() as folder, agent(core=None) as consul:
        for section in measure(options, consul.url, Path(folder)):
            print(f"{section}\n", flush=True)


if __name__ == "__main__":
    main()
