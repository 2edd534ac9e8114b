"""Lookups per second: ours beside nginx, the article's node lookup, a plain aiohttp application, and Consul itself.

    python -m benchmarks.lookup [--seconds 4] [--rounds 5]

One core serves, one core asks (wrk -t1 -c32; dnsperf for Consul's DNS). Contestants take turns; medians count. A rival
that is not installed (nginx, node and npm, dnsperf) is left out.
"""

from __future__ import annotations

import argparse

from benchmarks.harness.processes import require_programs
from benchmarks.harness.rounds import alternate
from benchmarks.harness.summary import rate_table
from benchmarks.lookup.contestants import OURS, contestants


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    require_programs("wrk")
    with contestants(seconds=options.seconds) as running:
        print(rate_table(alternate(running, rounds=options.rounds), unit="lookups per second", beside=OURS))


if __name__ == "__main__":
    main()
