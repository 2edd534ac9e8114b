"""What callers of p2pclient see of each fault: calls, failures, attempts, the longest call, the worst overrun.

    python -m benchmarks.client.faults [--lasting 10] [--callers 16] [--only NAME ...]

`p2p agent`, `p2p registry` and four of `p2p worker --engine echo` run as processes; the callers make one call after the
other with a deadline of 10 s, with either routing. The fault happens after two seconds. An overrun is how far past its
deadline a call ended; attempts include refused connections, although these are no load for any worker.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.harness.p2p import P2P, wait_for_workers
from benchmarks.harness.processes import free_port, get
from benchmarks.harness.summary import markdown_row, markdown_table
from p2pclient import AsyncClient, P2PError
from registry.runtime.processes.parent_death import die_with_parent
from tests.support.photos import chelsea_jpeg

DEADLINE_S = 10.0
WORKERS = 4
SERVICE = "classify"


@dataclass
class Tally:
    """The calls of all callers during one fault, summed up."""

    calls: int = 0
    attempts: int = 0
    longest_s: float = 0.0
    overrun_s: float = 0.0
    took_s: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)

    def row(self, name: str, routing: str) -> str:
        """A row of the table, and below it the most frequent reasons of failures."""
        failed = sum(self.failures.values())
        allowed = 1.2 * self.calls + 10 * self.took_s
        counts = [f"{self.calls:,}", str(failed), f"{self.attempts:,}", f"{allowed:,.0f}"]
        row = markdown_row([name, routing, *counts, f"{self.longest_s:.2f}", f"{1000 * max(0.0, self.overrun_s):.0f}"])
        return "\n".join([row, *(f"  {times} x {reason}" for reason, times in self.failures.most_common(3))])


class RestartableDeployment:
    """An agent, a lookup service and workers, each a process that can be killed, stopped and started again."""

    def __init__(self) -> None:
        self.consul_port, self.lookup_port = free_port(), free_port()
        self.consul = f"http://127.0.0.1:{self.consul_port}"
        self.lookup = f"http://127.0.0.1:{self.lookup_port}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._start("agent", "--port", str(self.consul_port))
        get(f"{self.consul}/v1/status/leader")
        self.lookup_service = self.start_lookup_service()
        self.workers = [self.start_worker() for _ in range(WORKERS)]
        get(f"{self.lookup}/readyz")
        wait_for_workers(self.lookup, {SERVICE: WORKERS})

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        null = subprocess.DEVNULL
        process = subprocess.Popen(
            [*P2P, *arguments], stdin=null, stdout=null, stderr=null, preexec_fn=die_with_parent(signal.SIGKILL)
        )
        self._processes.append(process)
        return process

    def start_lookup_service(self) -> subprocess.Popen[bytes]:
        """Start the lookup service on its port."""
        return self._start("registry", "--port", str(self.lookup_port), "--consul", self.consul, "--state", "")

    def start_worker(self, port: int = 0) -> tuple[subprocess.Popen[bytes], int]:
        """Start a worker and wait until it answers; the process and its port."""
        port = port or free_port()
        flags = ["--engine", "echo", "--service", SERVICE, "--port", str(port), "--consul", self.consul]
        process = self._start("worker", *flags)
        get(f"http://127.0.0.1:{port}/readyz")
        return process, port

    def end(self) -> None:
        """Kill all processes that were started."""
        for process in self._processes:
            process.kill()
            process.wait()


def kill(deployment: RestartableDeployment, _lasting_s: float) -> None:
    """kill -9 for three of four workers."""
    for process, _ in deployment.workers[:3]:
        process.kill()


def stop(deployment: RestartableDeployment, lasting_s: float) -> None:
    """SIGSTOP for one of four workers, later SIGCONT."""
    process, _ = deployment.workers[0]
    process.send_signal(signal.SIGSTOP)
    time.sleep(lasting_s)
    process.send_signal(signal.SIGCONT)


def roll_out(deployment: RestartableDeployment, _lasting_s: float) -> None:
    """Each worker is replaced: a new one is started, then the old one is told to stop."""
    for process, _ in deployment.workers:
        deployment.start_worker()
        process.terminate()
        process.wait()


def reuse(deployment: RestartableDeployment, _lasting_s: float) -> None:
    """A worker is killed, and another process takes its port at once."""
    process, port = deployment.workers[0]
    process.kill()
    process.wait()
    deployment.start_worker(port)


def join(deployment: RestartableDeployment, _lasting_s: float) -> None:
    """A fifth worker is started."""
    deployment.start_worker()


def vanish(deployment: RestartableDeployment, _lasting_s: float) -> None:
    """All workers are killed; two new ones are started."""
    for process, _ in deployment.workers:
        process.kill()
    for _ in range(2):
        deployment.start_worker()


def no_lookup(deployment: RestartableDeployment, lasting_s: float) -> None:
    """The lookup service is killed and started again later."""
    deployment.lookup_service.kill()
    deployment.lookup_service.wait()
    time.sleep(min(lasting_s, DEADLINE_S / 2))
    deployment.start_lookup_service()


FAULTS: dict[str, Callable[[RestartableDeployment, float], None]] = {
    "kill": kill, "stop": stop, "roll-out": roll_out, "port reused": reuse, "join": join,
    "all gone and back": vanish, "lookup gone and back": no_lookup,
}  # fmt: skip


async def call_during(
    deployment: RestartableDeployment, fault: str, routing: str, options: argparse.Namespace
) -> Tally:
    """Let all callers call; cause the fault after two seconds; stop when it is over and two seconds have passed."""
    tally, body, over = Tally(), chelsea_jpeg(), asyncio.Event()

    async def caller(client: AsyncClient) -> None:
        while not over.is_set():
            began_s = time.monotonic()
            tally.calls += 1
            try:
                answer = await client.classify(body)
                tally.attempts += answer.attempts
            except P2PError as error:
                tally.attempts += error.attempts
                tally.failures[f"{type(error).__name__}: {error}"] += 1
            took_s = time.monotonic() - began_s
            tally.longest_s = max(tally.longest_s, took_s)
            tally.overrun_s = max(tally.overrun_s, took_s - DEADLINE_S)

    watch = routing == "watch"
    async with AsyncClient(deployment.lookup, timeout_s=DEADLINE_S, routing="watch" if watch else "lookup") as client:
        callers = [asyncio.create_task(caller(client)) for _ in range(options.callers)]
        began_s = time.monotonic()
        await asyncio.sleep(2)
        await asyncio.to_thread(FAULTS[fault], deployment, options.lasting)
        await asyncio.sleep(max(2.0, options.lasting - (time.monotonic() - began_s)))
        over.set()
        await asyncio.gather(*callers)
        tally.took_s = time.monotonic() - began_s
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lasting", type=float, default=10.0, help="seconds that a fault lasts")
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--only", nargs="*", default=FAULTS, choices=list(FAULTS), help="names of faults")
    options = parser.parse_args()
    head = ["fault", "routing", "calls", "failed", "attempts", "allowed", "longest, s", "overrun, ms"]
    print(markdown_table(head, ()), flush=True)
    for fault in options.only:
        for routing in ("watch", "lookup"):
            deployment = RestartableDeployment()
            try:
                print(asyncio.run(call_during(deployment, fault, routing, options)).row(fault, routing), flush=True)
            finally:
                deployment.end()


if __name__ == "__main__":
    main()
