"""Lists all benchmarks with what each measures and needs, or runs them one after the other.

    python -m benchmarks                 lists them
    python -m benchmarks --run           runs all of them, for two hours or more
    python -m benchmarks --run --quick   runs each as briefly as it can, to see whether it works

A benchmark whose needs are missing on this machine is skipped with a sentence, and is no failure. The exit code is 1 if
a benchmark fails; several exit with 1 because a documented bound does not hold.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.harness.processes import missing_programs

ROOT = "root"
"""Stands among the needs of a benchmark that has to run as root."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A command of this package.

    needs: programs that must be installed, and ROOT
    quick: the flags of its shortest run
    """

    name: str
    measures: str
    needs: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The name of its module."""
        return f"benchmarks.{self.name}"

    def missing(self) -> list[str]:
        """Those of its needs that are missing on this machine."""
        programs = missing_programs(*(need for need in self.needs if need != ROOT))
        return programs + ([ROOT] if ROOT in self.needs and os.geteuid() else [])


SHORT = ("--seconds", "1", "--rounds", "1")

BENCHMARKS = (
    Benchmark("lookup", "lookups per second beside nginx, node, aiohttp and Consul", ("wrk",), SHORT),
    Benchmark(
        "lookup.propagation", "from a change in Consul to the lookup's answer", (), ("--changes", "8", "--kills", "1")
    ),
    Benchmark("lookup.scale", "10,000 workers that change all the time", ("wrk",), (*SHORT, "--only", "embedded")),
    Benchmark(
        "lookup.fast_path",
        "processor time of a lookup in process, memory kept for request texts",
        (),
        ("--workers", "10", "--texts", "100"),
    ),
    Benchmark("lookup.tickets", "lookups per second of processor time, with tickets", ("wrk",), SHORT),
    Benchmark(
        "lookup.split", "how exactly and how soon lookups follow a split", (), ("--changes", "4", "--lookups", "2000")
    ),
    Benchmark("lookup.footprint", "memory of the small parts, start of commands", ("wrk",)),
    Benchmark(
        "lookup.page",
        "what the web page costs, and how soon it shows what happens",
        ("chromium",),
        ("--workers", "20", "--seconds", "2", "--changes", "2", "--loads", "1"),
    ),
    Benchmark(
        "network.bandwidth",
        "MB/s through proxies and directly",
        ("ip", "tc", "nginx", "curl", ROOT),
        ("--seconds", "2", "--rounds", "1", "--counts", "1", "2"),
    ),
    Benchmark("network.tls", "what TLS costs a lookup service and a worker", (), SHORT),
    Benchmark("worker", "the worker beside the bare loop and six rivals", (), ("--quick", "--only", "Flask")),
    Benchmark("worker.parts.engines", "images per second of every engine", (), ("--rounds", "1", "--sizes", "1")),
    Benchmark("worker.parts.precision", "what bf16 costs and saves", (), ("--rounds", "1", "--images", "10")),
    Benchmark("worker.parts.decode", "processor time of decoding", (), ("--rounds", "1")),
    Benchmark("worker.parts.multipart", "a form beside a raw body", (), SHORT),
    Benchmark("worker.parts.json_bodies", "reading large JSON bodies"),
    Benchmark("worker.parts.fast_path", "the event loop with and without the fast path", (), SHORT),
    Benchmark(
        "training",
        "accuracy and time of p2p retrain",
        (),
        ("--only", "digits", "--splits", "1"),
    ),
    Benchmark("worker.parts.tickets", "a worker that requires tickets beside one that does not", (), SHORT),
    Benchmark("worker.parts.python_model", "what a Python model adds to a batch", (), ("--batches", "50")),
    Benchmark("worker.quotas", "a modest caller beside a greedy one", (), (*SHORT, "--shares", "0.25")),
    Benchmark("worker.profile_request", "the stages of a lone request", (), ("--seconds", "2")),
    Benchmark("worker.cascade", "a small network first, a large one if it is unsure", (), (*SHORT, "--crops", "12")),
    Benchmark("worker.swaps", "version swaps under load", (), ("--swaps", "1", "--before", "2")),
    Benchmark("client", "what the client adds to a call", (), (*SHORT, "--calls", "100")),
    Benchmark("client.faults", "what the client's callers see of faults", (), ("--lasting", "1", "--only", "kill")),
    Benchmark("client.shadow", "what a shadow costs the callers that it copies", (), SHORT),
    Benchmark(
        "cluster.faults",
        "faults of a real Consul cluster",
        (),
        ("--rounds", "1", "--lasting", "1", "--only", "worker-killed"),
    ),
    Benchmark(
        "attack",
        "what callers notice of hostile clients, pictures and registrations",
        (),
        ("--kind", "3", "--workers", "1", "--seconds", "1"),
    ),
    Benchmark(
        "soak",
        "half an hour of mixed load and faults: what grows, which calls fail",
        ("curl",),
        ("--minutes", "1"),
    ),
    Benchmark("simulations.batching", "batching policies, simulated", (), ("--images", "2000")),
    Benchmark("simulations.balancing", "ways to pick a worker, simulated", (), ("--sizes", "20")),
    Benchmark("simulations.quotas", "a greedy and a modest caller, simulated", (), ("--requests", "2000")),
)

OTHERS = (
    Benchmark("compare", "this checkout beside another one: lookups, images, calls per second", ("wrk",)),
    Benchmark("compatibility", "third-party clients of the standard protocols"),
    Benchmark("rivals.search", "the fastest settings of each rival"),
    Benchmark("simulations.record_arrivals", "arrivals of people with photo galleries, for simulations.batching"),
    Benchmark("gpu", "the worker on a GPU, lookups and workers on many cores (benchmarks/gpu/run.sh)"),
    Benchmark("plots", "draws recorded measurements"),
    Benchmark("fuzz.fast_path", "broken requests to the lookup port"),
    Benchmark("fuzz.dns", "broken queries to the DNS port"),
    Benchmark("fuzz.tickets", "mutated tickets, of which none may be accepted", (), ("--count", "5000")),
    Benchmark("fuzz.worker", "broken images and forms to the worker"),
    Benchmark("fuzz.openapi", "schemathesis against the worker"),
    Benchmark("fuzz.pictures", "pictures that cost too much time or memory to decode"),
)
"""Commands of this package that `--run` leaves out: they prove no figure of the documentation."""


def listing() -> str:
    """A line for each command: how it is started, what it measures, and what is missing for it."""
    lines = []
    for title, group in (("Benchmarks (make bench runs them all):", BENCHMARKS), ("Other commands:", OTHERS)):
        lines.append(title)
        for one in group:
            needs = f" (needs {', '.join(one.needs)})" if one.needs else ""
            missing = f"; missing here: {', '.join(one.missing())}" if one.missing() else ""
            lines.append(f"  python -m {one.module:33} {one.measures}{needs}{missing}")
    return "\n".join(lines)


def run(benchmarks: Sequence[Benchmark], *, quick: bool) -> int:
    """Run them one after the other; how many failed."""
    failed = 0
    for one in benchmarks:
        if missing := one.missing():
            print(f"\n# {one.module} is skipped: {', '.join(missing)} missing", flush=True)
            continue
        flags = one.quick if quick else ()
        print(f"\n# python -m {' '.join((one.module, *flags))}", flush=True)
        began_s = time.monotonic()
        code = subprocess.run([sys.executable, "-m", one.module, *flags], check=False).returncode
        print(f"# exit code {code} after {time.monotonic() - began_s:.0f} s", flush=True)
        failed += code != 0
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", action="store_true", help="run all benchmarks")
    parser.add_argument("--quick", action="store_true", help="as briefly as possible")
    options = parser.parse_args()
    if not options.run:
        print(listing())
        return
    sys.exit(bool(run(BENCHMARKS, quick=options.quick)))


if __name__ == "__main__":
    main()
