"""Lookups per second of 1, 2, 4 and 8 lookup processes, each on a core of its own, as ratios to linear."""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack

from benchmarks.gpu.figures import Figure
from benchmarks.gpu.generators import generators
from benchmarks.gpu.setup import Found, Setup, core_count
from benchmarks.harness.affinity import cores
from benchmarks.harness.connections import Target
from benchmarks.harness.p2p import agent, lookup_service, worker

PROCESSES = (1, 2, 4, 8)
CONNECTIONS = 32
"""Of each core that sends load."""

REQUEST = b"GET /next HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SERVICE = "classify"


def measure(setup: Setup, found: Found) -> None:
    """One figure for each number of processes for which there are as many cores again for the load."""
    total = core_count()
    wanted = [count for count in PROCESSES if 2 * count <= max(total, 2)]
    with agent(core=None) as consul, worker(consul.url, "--service", SERVICE, core=None):
        alone = 0.0
        for count in wanted:
            flags = ["--processes", str(count), "--service", SERVICE]
            with ExitStack() as stack:
                with cores(count):
                    service = lookup_service(consul.url, *flags, knows={SERVICE: 1}, core=None)
                    lookup = stack.enter_context(service)
                with cores(total - count, first=count):
                    rate, generator = _lookups_per_s(lookup.port, total - count, setup.seconds)
            alone = alone or rate
            beside = count * alone if count > 1 else None
            note = f"{'beside: linear; ' if beside else ''}load from {generator}"
            found(Figure(f"{count} lookup processes", rate, "lookups/s", beside, note=note))
    if len(wanted) < len(PROCESSES):
        found(Figure("more lookup processes", None, "lookups/s", note=f"{total} cores are too few"))


def _lookups_per_s(port: int, threads: int, seconds: float) -> tuple[float, str]:
    """Lookups per second, and what sent the load: wrk where it runs, else the generators of `benchmarks.harness`."""
    for measured in (_with_wrk, _with_generators):
        found = measured(port, threads, seconds)
        if found is not None:
            return found, measured.__name__.removeprefix("_with_")
    raise RuntimeError("no load generator runs")


def _with_wrk(port: int, threads: int, seconds: float) -> float | None:
    duration = f"-d{max(1, round(2 * seconds))}s"
    command = ["wrk", f"-t{threads}", f"-c{threads * CONNECTIONS}", duration, f"http://127.0.0.1:{port}/next"]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    if "Non-2xx" in printed:
        raise RuntimeError(f"the lookup service answered errors: {printed[-200:]}")
    rate = re.search(r"Requests/sec:\s*([\d.]+)", printed)
    return float(rate[1]) if rate else None


def _with_generators(port: int, threads: int, seconds: float) -> float | None:
    with generators() as load:
        return load.load(Target(port, (REQUEST,)), clients=threads * CONNECTIONS, seconds=seconds).per_s
