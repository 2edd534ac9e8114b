"""A worker that is killed gives the GPU's memory back; one that finds too little of it serves smaller batches."""

from __future__ import annotations

import os
import signal
import time

from benchmarks.gpu.figures import Figure, one_line
from benchmarks.gpu.machine import opened_gpu
from benchmarks.gpu.setup import Found, Setup, target_of
from benchmarks.gpu.workers import gpu_worker, log_lines
from benchmarks.harness.load_generator import closed_loop
from benchmarks.harness.p2p import agent
from benchmarks.harness.processes import wait_until

KEPT_MB = 64
"""Differences that the driver's own bookkeeping makes."""

BACK_WITHIN_S = 10.0
TOO_LITTLE_MB = (1000, 600, 350)
"""Memory left to PyTorch on a GPU, tried until a batch does not fit."""

REHEARSAL_FITS = 4
LINE = "because that many failed"


def measure(setup: Setup, found: Found) -> None:
    """Kill a worker, then start one with too little memory."""
    with agent(core=None) as consul:
        _kill(setup, consul.url, found)
        launches = [["--memory-mb", str(each)] for each in TOO_LITTLE_MB] if setup.on_gpu else [["--fits", "4"]]
        for launch in launches:
            if _shrinks(setup, consul.url, launch, found):
                return
        found(Figure("a batch that does not fit", None, "", note=f"none with {TOO_LITTLE_MB} MB"))


def _kill(setup: Setup, consul_url: str, found: Found) -> None:
    gpu = opened_gpu() if setup.on_gpu else None
    before_mb = gpu.used_mb() if gpu else 0.0
    with gpu_worker(setup, consul_url, setup.torchscript, name="killed") as worker:
        used_mb = gpu.used_mb() - before_mb if gpu else 0.0
        killed_s = time.monotonic()
        os.kill(worker.pid, signal.SIGKILL)
        worker.process.wait()
        if gpu:
            wait_until(lambda: gpu.used_mb() < before_mb + KEPT_MB, what="the memory is back", within_s=BACK_WITHIN_S)
        took_s = time.monotonic() - killed_s
    note = f"{used_mb:,.0f} MiB" if gpu else "without a GPU: only that the process is gone"
    found(Figure("memory of a killed worker is free after", took_s, "s", at_most=BACK_WITHIN_S, note=note))


def _shrinks(setup: Setup, consul_url: str, launch: list[str], found: Found) -> bool:
    """Start a worker with little memory; whether a batch did not fit and the worker serves all the same."""
    words = " ".join(launch)
    try:
        with gpu_worker(setup, consul_url, setup.torchscript, name="small", launch=launch) as worker:
            load = closed_loop(target_of(worker.port), connections=16, seconds=setup.seconds)
    except RuntimeError as error:
        found(Figure(f"a worker with {words}", 0, "images/s", note=one_line(error)))
        return False
    lines = log_lines(setup, "small", LINE)
    if not lines:
        return False
    failed = len(load.answers) - load.count(200)
    note = lines[0].partition(": ")[2].strip() or lines[0]
    found(Figure(f"failed requests of a worker with {words}", failed, f"of {len(load.answers)}", at_most=0, note=note))
    return True
