"""How long `p2p retrain` takes from photos to a model that is served, with empty and with filled caches."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.harness.p2p import ROOT
from benchmarks.training.datasets import digits

_WITHIN_S = 300.0


def measure_duration(folder: Path, *, photos: int) -> Iterator[str]:
    """Lines with the seconds of each step."""
    few, cache = folder / "few", folder / "cache"
    digits(folder / "all")
    files = sorted((folder / "all").rglob("*.png"))
    for number in np.random.default_rng(0).permutation(len(files))[:photos]:
        copy = few / files[number].parent.name / files[number].name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(files[number].read_bytes())
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    model = folder / "model"
    retrain = [sys.executable, "-m", "p2pclient", "retrain", "--image-dir", str(few), "--out", str(model)]
    first = _seconds(retrain, environment)
    yield f"{photos} photos, nothing cached: {first:.1f} s"
    served = _served(model, environment)
    yield f"from there to a worker that is ready: {served:.1f} s; together {first + served:.1f} s"
    yield f"again, with features in the cache: {_seconds(retrain, environment):.1f} s"


def _seconds(command: list[str], environment: Mapping[str, str]) -> float:
    began_s = time.monotonic()
    subprocess.run(command, env=dict(environment), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began_s


def _served(model: Path, environment: Mapping[str, str]) -> float:
    """Seconds until a worker that is not registered anywhere answers that it is ready."""
    began_s = time.monotonic()
    port = _free_port()
    command = [sys.executable, "-m", "p2pclient", "worker", "--model", str(model), "--port", str(port)]
    worker = subprocess.Popen(
        [*command, "--register", "none"], env=dict(environment), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    try:
        while time.monotonic() - began_s < _WITHIN_S:
            if _ready(port):
                return time.monotonic() - began_s
            time.sleep(0.05)
        raise TimeoutError(f"No worker was ready within {_WITHIN_S:g} s.")
    finally:
        worker.terminate()
        worker.wait()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
