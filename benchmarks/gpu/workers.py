"""Workers of this checkout that the parts start, and what their metrics say of batches."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.setup import Setup
from benchmarks.harness.p2p import Running
from benchmarks.harness.processes import free_port, get, server

READY_WITHIN_S = 60.0
QUEUE = 2048
"""Images that may wait: with 256 clients none is refused."""


@dataclass(frozen=True)
class Batches:
    """How many batches a worker has predicted, and how many images in them."""

    count: float
    images: float

    def mean_since(self, before: Batches) -> float:
        """The mean size of the batches between two readings."""
        return (self.images - before.images) / max(1.0, self.count - before.count)


def batches_of(url: str) -> Batches:
    """The batches that a worker has predicted so far, from its metrics."""
    text = get(f"{url}/metrics")
    return Batches(_total(text, "p2p_worker_batch_size_count"), _total(text, "p2p_worker_batch_size_sum"))


def _total(metrics: str, name: str) -> float:
    """The sum of a metric over all of its labels."""
    return sum(map(float, re.findall(rf"(?m)^{name}{{[^}}]*}} (\S+)$", metrics)))


@dataclass(frozen=True)
class Launched:
    """A worker that may still load its model."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def ready(self, within_s: float) -> Running:
        """The worker, once it answers. Raises RuntimeError with the end of its log if it does not start."""
        try:
            get(f"{self.url}/readyz", within_s=within_s, process=self.process)
        except OSError as error:
            end = " / ".join(self.log.read_text("utf-8", "replace").splitlines()[-3:])
            raise RuntimeError(f"the worker of {self.log.name} does not start ({error}): {end}") from error
        return Running(self.url, self.process)


@contextmanager
def launched_worker(
    setup: Setup, consul_url: str, model: Path, *, name: str, flags: Sequence[str] = (), launch: Sequence[str] = ()
) -> Iterator[Launched]:
    """A worker on the run's device, as soon as its process runs; `launch` are flags of `launch_worker`."""
    port, log = free_port(), setup.out / f"worker-{name}.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu.launch_worker", *launch, "--"]
    command += ["--model", str(model), "--engine", "torch", "--device", setup.device_flag, "--port", str(port)]
    command += ["--consul", consul_url, "--service", name, "--queue", str(QUEUE), "--deadline", "30", *flags]
    with server(command, core=None, log=log) as process:
        yield Launched(f"http://127.0.0.1:{port}", process, log)


@contextmanager
def gpu_worker(
    setup: Setup, consul_url: str, model: Path, *, name: str, launch: Sequence[str] = ()
) -> Iterator[Running]:
    """As `launched_worker`, once the worker answers."""
    with launched_worker(setup, consul_url, model, name=name, launch=launch) as launched:
        yield launched.ready(READY_WITHIN_S * setup.patience)


def log_lines(setup: Setup, name: str, containing: str) -> list[str]:
    """The lines of a worker's log that contain a text."""
    lines = (setup.out / f"worker-{name}.log").read_text("utf-8", "replace").splitlines()
    return [line for line in lines if containing in line]
