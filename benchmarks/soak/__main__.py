"""A soak: a deployment under mixed load, with a worker killed, versions swapped and Consul restarted in every minute.

    python -m benchmarks.soak [--minutes 30] [--json FILE]

The load: p2pclient (images, tensors), curl (two steps, one step by 307), JSON, lookups in all forms, and DNS. After a
sixth of the time, in which caches fill, no process may grow: the memory of its own (the median of another sixth) by 3%
at most, files, threads and tasks (the lower quartile) not at all. No call may fail. The exit code is 1 if something
does not hold.
The samples of all processes are in the JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from benchmarks.harness.processes import require_programs
from benchmarks.harness.rounds import progress
from benchmarks.soak.callers import Callers, started_callers
from benchmarks.soak.deployment import Deployment, deployment
from benchmarks.soak.report import Outcome
from benchmarks.soak.sampler import Watched, sampled
from benchmarks.soak.usage import tasks_of
from benchmarks.soak.verdict import growth

MINUTE_S = 60.0

PARTS = 6
"""The warm-up is this part of the time, and so are the two windows that are compared."""


def soak(deployed: Deployment, callers: Callers, *, minutes: float) -> Outcome:
    """Cause every fault in every minute while samples are taken, and compare the windows."""
    watched = {name: Watched(running.pid, partial(tasks_of, running.url)) for name, running in deployed.steady.items()}
    watched["callers"] = Watched(callers.pid, lambda: callers.report().tasks)
    faults = {
        "a worker killed": deployed.kill_worker,
        "versions swapped": deployed.swap_versions,
        "Consul restarted": deployed.restart_consul,
    }
    caused: Counter[str] = Counter()
    began_s = time.monotonic()
    with sampled(watched) as samples:
        while (passed_s := time.monotonic() - began_s) < minutes * MINUTE_S:
            name = list(faults)[caused.total() % len(faults)]
            due_s = caused.total() * MINUTE_S / len(faults)
            if passed_s < due_s:
                time.sleep(min(1.0, due_s - passed_s))
                continue
            faults[name]()
            caused[name] += 1
            progress(f"{passed_s / MINUTE_S:.1f} of {minutes:g} minutes: {name}")
    if samples.error is not None:
        raise samples.error
    part_s = minutes * MINUTE_S / PARTS
    growths = [growth(name, taken, warm_s=part_s, window_s=part_s) for name, taken in samples.taken.items()]
    return Outcome(minutes, dict(caused), callers.report().tallies, growths, samples.taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path, help="file for the outcome with all samples")
    options = parser.parse_args()
    require_programs("curl")
    with (
        tempfile.TemporaryDirectory() as folder,
        deployment(Path(folder)) as deployed,
        started_callers(deployed.targets) as callers,
    ):
        outcome = soak(deployed, callers, minutes=options.minutes)
    if options.json:
        options.json.write_text(json.dumps(outcome.to_json(), indent=1))
    print(outcome.markdown())
    sys.exit(bool(outcome.faults()))


if __name__ == "__main__":
    main()
