"""Lookups per second: ours beside nginx, the article's node lookup, a plain aiohttp application, and Consul itself.

    python -m benchmarks.lookup [--seconds 4] [--rounds 9] [--only REGEX] [--by-processor-time]

One core serves, one core asks (wrk -t1 -c32; dnsperf for Consul's DNS). Contestants take turns; the medians of the
rounds' ratios count. A rival that is not installed (nginx, node and npm, dnsperf) is left out. `--only 'p2p|nginx'`
leaves out the others. `--by-processor-time` counts lookups per second of the server's processor time, which other load
on the machine changes little.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.harness.processes import require_programs
from benchmarks.harness.rounds import alternate
from benchmarks.harness.summary import markdown_table, paired_ratio
from benchmarks.lookup.contestants import NGINX, OURS, Turn, contestants


def table(measured: Mapping[str, Sequence[float]], *, beside: str) -> str:
    """A row for each contestant: the median of its rounds, and that of its ratios to `beside` in the same round."""
    rows = [
        [name, f"{median(rates):,.0f}", f"{paired_ratio(rates, measured[beside]):.2f}"]
        for name, rates in measured.items()
    ]
    return markdown_table(["", "lookups per second", f"x {beside}"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="a regular expression: which contestants take part")
    parser.add_argument("--by-processor-time", action="store_true", help="of the server, in place of the clock")
    options = parser.parse_args()
    require_programs("wrk")
    turn = Turn(options.seconds, options.by_processor_time)
    with contestants(turn, only=options.only) as running:
        measured = alternate(running, rounds=options.rounds)
        print(table(measured, beside=NGINX if NGINX in measured else OURS))


if __name__ == "__main__":
    main()
