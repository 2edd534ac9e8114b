"""One attacker as a process, which gives way to everybody else, so that the attack is not that it takes the cores.

It runs at the lowest priority and builds what it sends before the attack begins. It is told for how many seconds it
attacks on its standard input, and prints what it has seen as a line of JSON at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from benchmarks.attack.catalogue import KINDS, Attack, Kind
from benchmarks.attack.targets import Findings, Targets
from benchmarks.harness.processes import program
from registry.runtime.processes import open_files

LOWEST_PRIORITY = 19
FINISHES_WITHIN_S = 300.0


class Attackers:
    """The processes that attack with one kind, as the benchmark speaks to them."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def attack(self, *, seconds: float) -> Findings:
        """Let all of them attack for so long, or longer where an attack is done only later; what they have seen."""
        for process in self._processes:
            assert process.stdin is not None
            print(seconds, file=process.stdin, flush=True)
        found = Findings()
        for process in self._processes:
            assert process.stdout is not None
            seen = json.loads(process.stdout.readline())
            found.outcomes.update(seen["outcomes"])
            found.wrong += seen["wrong"]
        return found


@contextmanager
def started_attackers(number: int, targets: Targets) -> Iterator[Attackers]:
    """The processes of a kind, all of which have built what they send."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(program(__name__, str(number), replace(targets, attacker=attacker).to_json()))
            for attacker in range(KINDS[number].attackers(targets))
        ]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield Attackers(processes)


async def attack_for(seconds: float, kind: Kind, attack: Attack, targets: Targets) -> Findings:
    """Attack for so long; where the kind finishes, until it has done everything."""
    findings = Findings()
    running = asyncio.ensure_future(attack(targets, findings))
    done, _ = await asyncio.wait((running,), timeout=FINISHES_WITHIN_S if kind.finishes else seconds)
    running.cancel()
    await asyncio.wait((running,))
    if done:
        error = running.exception()
        findings.expect(error is None, f"the attack ended: {error!r}")
    findings.expect(bool(done) or not kind.finishes, f"the attack is not done after {FINISHES_WITHIN_S:g} s")
    return findings


def main() -> None:
    number, targets = int(sys.argv[1]), Targets.from_json(sys.argv[2])
    os.nice(LOWEST_PRIORITY)
    open_files.raise_limit()
    kind = KINDS[number]
    attack = kind.prepared()
    print("ready", flush=True)
    line = sys.stdin.readline()
    if line:
        findings = asyncio.run(attack_for(float(line), kind, attack, targets))
        print(json.dumps({"outcomes": findings.outcomes, "wrong": findings.wrong}), flush=True)


if __name__ == "__main__":
    main()
