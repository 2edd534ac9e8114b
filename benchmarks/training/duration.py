"""How long `p2p retrain` takes from photos to a model that is served, with empty and with filled caches."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.harness.p2p import P2P, ROOT, agent, worker
from benchmarks.training.datasets import digits

_WITHIN_S = 600.0


def measure_duration(folder: Path, *, photos: int) -> Iterator[str]:
    """Lines with the seconds of each step; the caches are folders of this measurement's own."""
    few, model = folder / "few", folder / "model"
    _some_digits(folder / "all", few, photos)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    retrain = [*P2P, "retrain", "--image-dir", str(few), "--out", str(model)]
    first = _seconds(retrain)
    yield f"{photos} photos, nothing cached: {first:.1f} s"
    with agent(core=None) as consul:
        for engine in ("auto", "openvino"):
            began_s = time.monotonic()
            with worker(consul.url, "--model", str(model), engine=engine, core=None, within_s=_WITHIN_S):
                served = time.monotonic() - began_s
            yield f"to a worker that is ready, --engine {engine}: {served:.1f} s; in all {first + served:.1f} s"
    yield f"again, with features in the cache: {_seconds(retrain):.1f} s"


def _some_digits(everything: Path, few: Path, photos: int) -> None:
    digits(everything)
    files = sorted(everything.rglob("*.png"))
    for number in np.random.default_rng(0).permutation(len(files))[:photos]:
        copy = few / files[number].parent.name / files[number].name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(files[number].read_bytes())


def _seconds(command: list[str]) -> float:
    began_s = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began_s
