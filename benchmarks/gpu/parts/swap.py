"""A version swap under a constant load: latencies before and during it, and requests that failed."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks.gpu.figures import Figure
from benchmarks.gpu.setup import Found, Setup, target_of
from benchmarks.gpu.workers import gpu_worker
from benchmarks.harness.connections import Answer, Target
from benchmarks.harness.load_generator import open_loop
from benchmarks.harness.p2p import agent
from benchmarks.harness.processes import get, wait_until
from benchmarks.harness.summary import percentile
from benchmarks.worker.swaps import publish

RATE_HZ = {True: 100.0, False: 10.0}
"""Images per second, on a GPU and without one."""

SWAPPED_WITHIN_S = 25.0
BEFORE_TURNS = 2


def measure(setup: Setup, found: Found) -> None:
    """One swap, from publishing version 2 until it serves alone."""
    root = setup.out / "versions"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    publish(setup.torchscript.parent, root, 1)
    rate_hz = RATE_HZ[setup.on_gpu]
    with (
        agent(core=None) as consul,
        gpu_worker(setup, consul.url, root, name="swapped") as worker,
        _constant_load(target_of(worker.port), rate_hz, setup.seconds) as answers,
    ):
        time.sleep(BEFORE_TURNS * setup.seconds)
        began_s = time.perf_counter()
        publish(setup.torchscript.parent, root, 2)
        wait_until(
            lambda: _serves(worker.url, "2"), what="version 2 serves", within_s=SWAPPED_WITHIN_S * setup.patience
        )
        swapped_s = time.perf_counter()
    good = [answer for answer in answers if answer.status == 200]
    before_ms = percentile([answer.ms for answer in good if answer.due_s < began_s], 0.99)
    during_ms = percentile([answer.ms for answer in good if began_s <= answer.due_s < swapped_s], 0.99)
    found(Figure("a version swap", swapped_s - began_s, "s", note=f"{rate_hz:g} images per second meanwhile"))
    found(Figure("p99 during the swap, beside before it", during_ms, "ms", before_ms))
    found(Figure("failed requests", len(answers) - len(good), f"of {len(answers)}", at_most=0))


@contextmanager
def _constant_load(target: Target, rate_hz: float, seconds: float) -> Iterator[list[Answer]]:
    """Send images at a constant rate inside the block; the answers are complete after it."""
    answers: list[Answer] = []
    ended = threading.Event()

    def send() -> None:
        while not ended.is_set():
            answers.extend(open_loop(target, rate_hz=rate_hz, seconds=seconds).everything)

    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(send)
        try:
            yield answers
        finally:
            ended.set()
        sending.result()


def _serves(url: str, version: str) -> bool:
    """Whether only this version is loaded."""
    (model,) = json.loads(get(f"{url}/readyz"))["models"].values()
    return [each["version"] for each in model["versions"] if each["state"] == "AVAILABLE"] == [version]
