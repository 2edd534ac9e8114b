"""One part of the run, in a process of its own, so that it can be stopped and gives the GPU's memory back.

    python -m benchmarks.gpu.part MODULE [--out FOLDER] [--device cuda] [--seconds 1.5] [--network resnet50]

`benchmarks.gpu` starts it. MODULE has a function `measure(setup, found)`; each figure is written to the file
FOLDER/MODULE.jsonl as soon as it is known.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from importlib import import_module

from benchmarks.gpu.figures import Figure
from benchmarks.gpu.setup import add_arguments, figures_file, setup_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("module")
    add_arguments(parser)
    options = parser.parse_args()
    setup = setup_of(options)
    with open(figures_file(setup, options.module), "w", encoding="utf-8") as file:

        def found(figure: Figure) -> None:
            print(json.dumps(asdict(figure)), file=file, flush=True)

        import_module(options.module).measure(setup, found)


if __name__ == "__main__":
    main()
