"""How long `p2p retrain` takes from photos to a model that is served, with empty and with filled caches."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
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
    with agent(core=None) as consul:
        steps: list[tuple[str, Callable[[], None]]] = [
            (f"{photos} photos, nothing cached", lambda: _run(retrain)),
            ("from there to a worker that is ready", lambda: _serve(consul.url, model, "auto")),
            ("the same with --engine openvino", lambda: _serve(consul.url, model, "openvino")),
            ("photos again, with features in the cache", lambda: _run(retrain)),
        ]
        for name, step in steps:
            began_s, used_s = time.monotonic(), _processor_s()
            step()
            yield f"{name}: {time.monotonic() - began_s:.1f} s, {_processor_s() - used_s:.1f} s of processor time"


def _some_digits(everything: Path, few: Path, photos: int) -> None:
    digits(everything)
    files = sorted(everything.rglob("*.png"))
    for number in np.random.default_rng(0).permutation(len(files))[:photos]:
        copy = few / files[number].parent.name / files[number].name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(files[number].read_bytes())


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _serve(consul_url: str, model: Path, engine: str) -> None:
    with worker(consul_url, "--model", str(model), engine=engine, core=None, within_s=_WITHIN_S):
        pass


def _processor_s() -> float:
    """Processor time of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
