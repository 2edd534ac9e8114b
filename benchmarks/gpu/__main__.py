"""Measures the worker on a GPU, and lookups and workers on many cores, within ten minutes.

    python -m benchmarks.gpu [--out FOLDER] [--device cuda] [--seconds 1.5] [--network resnet50] [--only PART ...]

`benchmarks/gpu/run.sh` runs it on a machine on which nothing of this project is installed. Each part runs in a process
of its own within a bound (`benchmarks.gpu.plan`); one that fails or takes too long has a row that says so, and the next
begins. FOLDER/results.json and results.md are written anew after each part.
"""

from __future__ import annotations

import argparse

from benchmarks.gpu.plan import PARTS
from benchmarks.gpu.run_parts import run_parts
from benchmarks.gpu.setup import add_arguments, setup_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], help="these parts, after models")
    options = parser.parse_args()
    parts = [part for part in PARTS if not options.only or part.name in ("models", *options.only)]
    print(run_parts(setup_of(options), parts))


if __name__ == "__main__":
    main()
