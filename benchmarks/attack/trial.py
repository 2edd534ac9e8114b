"""One kind of attack beside the callers: what they notice before and during it, and the memory of each process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

from benchmarks.attack.attacker import started_attackers
from benchmarks.attack.callers import DEADLINE_S, Callers, Calls
from benchmarks.attack.catalogue import KINDS, RATIO_AT_MOST
from benchmarks.attack.deployment import Deployment, started_workers
from benchmarks.attack.memory import bound_mb, forget_peak, peak_mb
from benchmarks.attack.targets import SERVICE, Findings
from benchmarks.harness.p2p import wait_for_workers
from benchmarks.harness.summary import markdown_row

HEAD = (
    *("kind", "workers", "predictions", "failed", "p99 before, ms", "p99 during, ms", "ratio", "longest, ms"),
    *("largest RSS beside its bound, MiB", "verdict"),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """What one attack did. `peaks_mb` is the largest resident memory of each process during it."""

    number: int
    workers: int
    before: Calls
    during: Calls
    peaks_mb: Mapping[str, float]
    findings: Findings

    @property
    def ratio(self) -> float:
        """How many times longer 99 of 100 calls took."""
        return self.during.p99_s / self.before.p99_s

    def faults(self) -> list[str]:
        """What should not have been, in sentences; nothing if the attack was borne."""
        faults = list(self.findings.wrong)
        failures = self.before.failures + self.during.failures
        faults += [f"{len(failures)} predictions failed, the first: {failures[0]}"] if failures else []
        if KINDS[self.number].slows:
            faults += ["a prediction took longer than its deadline"] * (self.during.longest_s > DEADLINE_S)
        elif self.ratio > RATIO_AT_MOST:
            faults.append(f"p99 is {self.ratio:.1f} times what it was")
        for name, peak in self.peaks_mb.items():
            if peak > bound_mb(name):
                faults.append(f"{name} took {peak:.0f} MiB")
        return faults

    def row(self) -> str:
        """A row of the table under HEAD."""
        kind, before, during = KINDS[self.number], self.before, self.during
        memory = ", ".join(f"{name} {peak:.0f} / {bound_mb(name)}" for name, peak in self.peaks_mb.items())
        return markdown_row(
            [
                *(f"{self.number}. {kind.sends}", str(self.workers), f"{len(before.took_s)} + {len(during.took_s)}"),
                str(len(before.failures) + len(during.failures)),
                *(f"{1000 * seconds:.0f}" for seconds in (before.p99_s, during.p99_s)),
                *(f"{self.ratio:.1f}", f"{1000 * during.longest_s:.0f}", memory),
                "; ".join(self.faults()) or "holds",
            ]
        )


def try_kind(number: int, deployed: Deployment, callers: Callers, *, seconds: float, engine: str) -> Trial:
    """Let the callers call for so long without the attack, then for as long with it."""
    kind, targets = KINDS[number], deployed.targets
    with ExitStack() as stack:
        relay = f"http://127.0.0.1:{targets.relay}"
        leaving = started_workers(stack, relay, kind.leaving, engine)
        count = len(targets.workers) + kind.leaving
        wait_for_workers(f"http://127.0.0.1:{targets.lookup}", {SERVICE: count})
        targets = replace(targets, leaving=tuple(each.pid for each in leaving))
        attackers = stack.enter_context(started_attackers(number, targets))
        callers.begin()
        time.sleep(seconds)
        before = callers.end()
        for pid in deployed.processes.values():
            forget_peak(pid)
        callers.begin()
        findings = attackers.attack(seconds=seconds)
        during = callers.end()
        peaks = {name: peak_mb(pid) for name, pid in deployed.processes.items()}
    return Trial(number, len(targets.workers), before, during, peaks, findings)
