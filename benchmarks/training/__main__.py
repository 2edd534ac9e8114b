"""Accuracy of `p2p retrain` on photos that were not trained on, beside plain logistic regression, and its time.

    python -m benchmarks.training [--only NAME] [--splits 5] [--time-photos 1000]

Each data set is split into training and test photos several times (Fashion-MNIST has a test set of its own; its splits
take other training photos). Each row has the mean accuracy over the splits, with the 95 % interval that Wilson's method
gives for all test photos together. "plain" is scikit-learn's logistic regression with C = 1 on the last layer's
features; "beyond plain" is how much better the chosen head is in each split, on average, with its least and greatest.
`time` runs the command on so many small photos, twice, with nothing in the cache at first, and a worker on the result.
`label` is the rate of `p2p label` beside a bare loop.

The photos come from packages: apt-get install dataset-fashion-mnist tuxpaint-stamps-default. The exit code is 1 if a
documented bound does not hold. Takes five to ten minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.training.accuracy import BOUNDS, Row, measure
from benchmarks.training.datasets import FASHION, STAMPS
from benchmarks.training.duration import measure_duration
from benchmarks.training.labelling import measure_labelling

_NEEDS = {"fashion": FASHION, "stamps": STAMPS}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", action="append", choices=["digits", "fashion", "stamps", "time", "label"])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--time-photos", type=int, default=1000)
    options = parser.parse_args()
    wanted = options.only or ["digits", "fashion", "stamps", "time", "label"]
    kept = True
    with tempfile.TemporaryDirectory(prefix="p2p-training-") as folder:
        print(Row.HEAD, flush=True)
        for name in [name for name in wanted if name not in ("time", "label")]:
            needed = _NEEDS.get(name)
            if needed is not None and not needed.is_dir():
                print(f"{name} is skipped: {needed} is missing (see --help).", file=sys.stderr)
                continue
            row = measure(name, Path(folder), splits=options.splits)
            print(row, flush=True)
            kept &= row.accuracy >= BOUNDS.get(name, 0.0)
        if "time" in wanted:
            for line in measure_duration(Path(folder), photos=options.time_photos):
                print(line, flush=True)
        if "label" in wanted:
            for line in measure_labelling(Path(folder)):
                print(line, flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
