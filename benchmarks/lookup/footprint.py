"""Resident memory of the lookup service and the embedded agent, and how long commands take to start.

python -m benchmarks.lookup.footprint
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.harness.p2p import P2P, agent, lookup_service
from benchmarks.harness.processes import require_programs, rss_mb
from benchmarks.harness.summary import markdown_table
from benchmarks.harness.wrk import wrk

ROUNDS = 7


def seconds(command: list[str]) -> float:
    """Median wall-clock seconds of a command."""
    took = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - began_s)
    return statistics.median(took)


def main() -> None:
    require_programs("wrk")
    with agent() as consul, lookup_service(consul.url) as lookup:
        wrk(f"{lookup.url}/healthz", seconds=2)
        rows = [
            ["lookup service, after 2 s of load", f"{rss_mb(lookup.pid):.0f} MB"],
            ["embedded agent", f"{rss_mb(consul.pid):.0f} MB"],
        ]
    rows.append(["p2p --help", f"{seconds([*P2P, '--help']):.2f} s"])
    rows.append(["python -c 'import p2pclient'", f"{seconds([sys.executable, '-c', 'import p2pclient']):.2f} s"])
    print(markdown_table(["", ""], rows))


if __name__ == "__main__":
    main()
