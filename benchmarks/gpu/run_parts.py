"""The parts of the run, one after the other, each in a process that is ended at its limit; results after each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.figures import PartResult, one_line, results_table
from benchmarks.gpu.machine import described_machine
from benchmarks.gpu.plan import Part, limit_s
from benchmarks.gpu.setup import Setup, figures_file, read_figures
from benchmarks.harness.rounds import progress
from registry.runtime.processes.parent_death import die_with_parent

END_S = 5.0
"""How long a part that is stopped may take to end its servers."""


def run_parts(setup: Setup, parts: Sequence[Part]) -> str:
    """Run the parts; the report in Markdown."""
    setup.out.mkdir(parents=True, exist_ok=True)
    machine = described_machine(setup)
    results = [PartResult(part.name) for part in parts]
    began_s = time.monotonic()
    report = ""
    for number, (part, result) in enumerate(zip(parts, results, strict=True)):
        part_began_s = time.monotonic()
        within_s = max(1.0, limit_s(parts, number, elapsed_s=part_began_s - began_s, patience=setup.patience))
        result.ended = _run(setup, part, within_s)
        result.took_s = time.monotonic() - part_began_s
        result.figures = read_figures(figures_file(setup, part.module))
        progress(f"{part.name}: {result.ended}, {result.took_s:.0f} s, {len(result.figures)} figures")
        report = _write(setup, machine, results, time.monotonic() - began_s)
    return report


def _run(setup: Setup, part: Part, within_s: float) -> str:
    """Run one part; how it ended."""
    log = setup.out / f"{part.name}.log"
    figures_file(setup, part.module).unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu.part", part.module, *setup.arguments()]
    environ = os.environ | {"XDG_CACHE_HOME": str(setup.out / "cache")}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env=environ,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        try:
            code = process.wait(within_s)
        except subprocess.TimeoutExpired:
            _end_session(process)
            return f"stopped after {within_s:.0f} s"
        except BaseException:
            _end_session(process)
            raise
    return "done" if code == 0 else f"failed: {_last_line(log)}"


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End a part with the servers that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(END_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return one_line(lines[-1] if lines else "nothing in its log")


def _write(setup: Setup, machine: dict[str, str], results: Sequence[PartResult], took_s: float) -> str:
    """Write both files; the Markdown."""
    found = {"machine": machine, "took_s": round(took_s, 1), "parts": [result.as_json() for result in results]}
    (setup.out / "results.json").write_text(json.dumps(found, indent=1), "utf-8")
    facts = [f"- {name}: {value}" for name, value in machine.items()]
    report = "\n".join([*facts, f"- time: {took_s:.0f} s", "", results_table(results), ""])
    (setup.out / "results.md").write_text(report, "utf-8")
    return report
