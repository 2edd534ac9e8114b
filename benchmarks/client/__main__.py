"""What p2pclient adds to a call, how evenly it spreads calls, how much memory it retains, how long its import takes.

    python -m benchmarks.client [--seconds 4] [--rounds 5] [--at-once 8] [--worker echo|sink]

One worker, one lookup service, one agent, bodies of 35 kB. The worker is `p2p worker --engine echo`, or
benchmarks.network.sink_server, which does not decode the image. Bare aiohttp posts to the worker's address, which it
is given; the client looks it up. All take turns; medians count. The worker has one core, the calling process the
other. Then 20 clients call ten workers, which wait instead of computing: how evenly the calls are spread, and what one
worker that is five times slower does to p99. docs/measurements/overview.md has the tables of one run.
"""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack

from benchmarks.client.call_overhead import overhead_tables
from benchmarks.client.deployment import Deployment
from benchmarks.client.footprint import import_s, retained_memory
from benchmarks.client.spreading import spreading_table
from benchmarks.harness.affinity import CLIENT_CORE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--worker", choices=("echo", "sink"), default="echo")
    parser.add_argument("--calls", type=int, default=10_000, help="calls between two looks at the memory")
    options = parser.parse_args()
    os.sched_setaffinity(0, {CLIENT_CORE})
    with ExitStack() as stack:
        deployment = Deployment(stack)
        url = deployment.start_echo() if options.worker == "echo" else deployment.start_sink()
        settings = {"at_once": options.at_once, "seconds": options.seconds, "rounds": options.rounds}
        print(overhead_tables(deployment.lookup, url, **settings), end="\n\n", flush=True)
        print(spreading_table(deployment, seconds=options.seconds), end="\n\n", flush=True)
        print(retained_memory(deployment.lookup, options.calls), flush=True)
    for statement in ("import p2pclient", "from p2pclient import Client"):
        print(f"\n`{statement}`: {import_s(statement):.3f} s")


if __name__ == "__main__":
    main()
