"""Servers as child processes: started on a core of their own, waited for, ended with their block, measured."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.harness.affinity import SERVER_CORE
from registry.runtime.processes.parent_death import die_with_parent

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0

_ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that was free a moment ago."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different free ports; all are held until the last one is found, since a released port may be given again."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextlib.contextmanager
def program(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A module of this checkout as a process that takes orders on its standard input and answers on its output.

    It is asked to end with the block, and killed if this process dies.
    """
    command = [sys.executable, "-m", module, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, cwd=_ROOT, preexec_fn=die_with_parent(signal.SIGKILL)
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def server(
    command: Sequence[str | Path],
    *,
    core: int | None = SERVER_CORE,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    log: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process that is ended with its block.

    core:    the only core that it may use; None for all
    environ: variables beside those of this process
    folder:  its working folder, if not that of this process
    log:     what it writes is appended to this file; it is lost if there is none
    """
    pinned = [*(("taskset", "-c", str(core)) if core is not None else ()), *command]
    with open(log or os.devnull, "ab") as output:
        process = subprocess.Popen(
            pinned,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=os.environ | dict(environ or {}),
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def get(url: str, *, within_s: float = READY_WITHIN_S, process: subprocess.Popen[bytes] | None = None) -> str:
    """Ask until `url` answers 200; the body.

    Raises OSError (URLError) if it has not within `within_s`, or as soon as the `process` that should answer has ended.
    """
    end_s = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end_s or (process and process.poll() is not None):
                raise
            time.sleep(0.1)


def wait_until(holds: Callable[[], bool], *, what: str, within_s: float = READY_WITHIN_S) -> None:
    """Wait until something holds. Raises TimeoutError that names `what` was waited for."""
    end_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end_s:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        time.sleep(0.1)


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} is gone")


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used, ended threads included; counted in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def threads_cpu_s(pid: int) -> float:
    """Processor seconds that the living threads of a process have used, by the scheduler, to the nanosecond."""
    return sum(thread_cpu_s(pid, int(thread)) for thread in os.listdir(f"/proc/{pid}/task"))


def thread_cpu_s(pid: int, thread: int) -> float:
    """Processor seconds that one thread has used; the first thread of a process has the process's id."""
    return int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0]) / 1e9


def require_programs(*programs: str) -> None:
    """Exit with a sentence if a program is missing, naming all that are."""
    if missing := missing_programs(*programs):
        sys.exit(f"{', '.join(missing)} needed: apt-get install {' '.join(missing)}")


def missing_programs(*programs: str) -> list[str]:
    """Those of the programs that are not installed."""
    path = os.pathsep.join([*os.get_exec_path(), "/usr/sbin"])  # where nginx is, which users' paths leave out
    return [program for program in programs if not shutil.which(program, path=path)]
