"""What every benchmark needs: servers as pinned child processes, alternating rounds, medians, a table."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from registry.runtime.parent_death import die_with_parent

SERVER_CORE, CLIENT_CORE = 0, 1
P2P = [sys.executable, "-m", "p2pclient"]


def free_port() -> int:
    """A port that was free a moment ago."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many different ones; held together, since a port that was let go may be given again at once."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextlib.contextmanager
def server(
    command: Sequence[str | Path],
    *,
    core: int | None = SERVER_CORE,
    environ: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, pinned to a core, ended with its block."""
    pinned = [*(("taskset", "-c", str(core)) if core is not None else ()), *command]
    with open(log or os.devnull, "ab") as output:
        process = subprocess.Popen(
            pinned,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | dict(environ or {}),
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str, *, within_s: float = 60) -> str:
    """Wait until `url` answers 200; the body."""
    end_s = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end_s:
                raise
            time.sleep(0.1)


def wrk(url: str, *, seconds: float, connections: int = 32) -> float:
    """Requests a second that one wrk thread gets out of `url`; raises if any answer was not 2xx."""
    command = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in printed:
        raise RuntimeError(f"{url} answered errors:\n{printed}")
    found = re.search(r"Requests/sec:\s*([\d.]+)", printed)
    assert found, printed
    return float(found[1])


def alternate(contestants: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, float]:
    """Each contestant's median over rounds in which all take turns."""
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, measure in contestants.items():
            measured[name].append(measure())
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return {name: statistics.median(values) for name, values in measured.items()}


def table(medians: Mapping[str, float], *, unit: str, beside: str) -> str:
    """The medians, and each as a ratio to one contestant, as Markdown."""
    rows = [f"| | {unit} | x {beside} |", "| --- | --- | --- |"]
    rows += [f"| {name} | {value:,.0f} | {value / medians[beside]:.2f} |" for name, value in medians.items()]
    return "\n".join(rows)


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} is gone")


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def needs(*programs: str) -> None:
    """Exit with what is missing and how to get it."""
    missing = [p for p in programs if not any((Path(d) / p).exists() for d in [*os.get_exec_path(), "/usr/sbin"])]
    if missing:
        sys.exit(f"{', '.join(missing)} needed: apt-get install {' '.join(missing)}")
