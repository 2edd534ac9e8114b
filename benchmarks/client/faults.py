"""What callers of p2pclient see of each fault: calls, failures, attempts, the longest call, the worst overrun.

    python -m benchmarks.client.faults [--lasting 10] [--callers 16] [--only NAME ...]

A real agent, a real lookup service and four real workers (`p2p worker --engine echo`) as processes; callers ask one
call after another with a deadline of 10 s, by either routing. The fault comes after two seconds. An overrun is how
far past its deadline a call ended; attempts count refused connections, too, though they burden nobody.
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

from benchmarks.harness.rounds import P2P, answers, free_port
from p2pclient import AsyncClient, P2PError
from registry.runtime.parent_death import die_with_parent
from tests.support.photos import chelsea_jpeg

DEADLINE_S = 10.0
WORKERS = 4


@dataclass
class Seen:
    """What the callers saw."""

    calls: int = 0
    attempts: int = 0
    longest_s: float = 0.0
    overrun_s: float = 0.0
    took_s: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)

    def row(self, name: str, routing: str) -> str:
        """A row of the table; the reasons of failures after it."""
        failed = sum(self.failures.values())
        allowed = 1.2 * self.calls + 10 * self.took_s
        numbers = f"{self.calls:,} | {failed} | {self.attempts:,} | {allowed:,.0f} | {self.longest_s:.2f}"
        row = f"| {name} | {routing} | {numbers} | {1000 * max(0.0, self.overrun_s):.0f} |"
        return "\n".join([row, *(f"  {times} x {reason}" for reason, times in self.failures.most_common(3))])


class Scene:
    """An agent, a lookup service and workers, each a process that can be killed, stopped and started again."""

    def __init__(self) -> None:
        self.consul_port, self.lookup_port = free_port(), free_port()
        self.consul = f"http://127.0.0.1:{self.consul_port}"
        self.lookup = f"http://127.0.0.1:{self.lookup_port}"
        self._all: list[subprocess.Popen[bytes]] = []
        self._run("agent", "--port", str(self.consul_port))
        answers(f"{self.consul}/v1/status/leader")
        self.registry = self.start_registry()
        self.workers = [self.start() for _ in range(WORKERS)]
        answers(f"{self.lookup}/readyz")
        while answers(f"{self.lookup}/next?count=100").count("\n") < WORKERS:
            time.sleep(0.1)

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            [*P2P, *arguments], stdin=quiet, stdout=quiet, stderr=quiet, preexec_fn=die_with_parent(signal.SIGKILL)
        )
        self._all.append(process)
        return process

    def start_registry(self) -> subprocess.Popen[bytes]:
        """Start the lookup service."""
        return self._run("registry", "--port", str(self.lookup_port), "--consul", self.consul, "--state", "")

    def start(self, port: int = 0) -> tuple[subprocess.Popen[bytes], int]:
        """Start a worker and wait until it answers; the process and its port."""
        port = port or free_port()
        process = self._run("worker", "--engine", "echo", "--port", str(port), "--consul", self.consul)
        answers(f"http://127.0.0.1:{port}/readyz")
        return process, port

    def end(self) -> None:
        """Kill all that was started."""
        for process in self._all:
            process.kill()
            process.wait()


def kill(scene: Scene, _lasting_s: float) -> None:
    """kill -9 for three of four workers."""
    for process, _ in scene.workers[:3]:
        process.kill()


def stop(scene: Scene, lasting_s: float) -> None:
    """SIGSTOP for one of four workers, and later SIGCONT."""
    process, _ = scene.workers[0]
    process.send_signal(signal.SIGSTOP)
    time.sleep(lasting_s)
    process.send_signal(signal.SIGCONT)


def roll_out(scene: Scene, _lasting_s: float) -> None:
    """Every worker is replaced by a new one: started, and then its predecessor told to stop."""
    for process, _ in scene.workers:
        scene.start()
        process.terminate()
        process.wait()


def reuse(scene: Scene, _lasting_s: float) -> None:
    """A worker is killed, and another process takes its port at once."""
    process, port = scene.workers[0]
    process.kill()
    process.wait()
    scene.start(port)


def join(scene: Scene, _lasting_s: float) -> None:
    """A fifth worker comes."""
    scene.start()


def vanish(scene: Scene, _lasting_s: float) -> None:
    """All workers are killed, and new ones started."""
    for process, _ in scene.workers:
        process.kill()
    for _ in range(2):
        scene.start()


def no_lookup(scene: Scene, lasting_s: float) -> None:
    """The lookup service is killed, and started again later."""
    scene.registry.kill()
    scene.registry.wait()
    time.sleep(min(lasting_s, DEADLINE_S / 2))
    scene.start_registry()


FAULTS: dict[str, Callable[[Scene, float], None]] = {
    "kill": kill, "stop": stop, "roll-out": roll_out, "port reused": reuse, "join": join,
    "all gone and back": vanish, "lookup gone and back": no_lookup,
}  # fmt: skip


async def suffer(scene: Scene, fault: str, routing: str, options: argparse.Namespace) -> Seen:
    """Call all the time, let it happen after two seconds, and go on for as long as it takes, and a while longer."""
    seen, body, over = Seen(), chelsea_jpeg(), asyncio.Event()

    async def caller(client: AsyncClient) -> None:
        while not over.is_set():
            began_s = time.monotonic()
            seen.calls += 1
            try:
                answer = await client.classify(body)
                seen.attempts += answer.attempts
            except P2PError as error:
                seen.attempts += error.attempts
                seen.failures[f"{type(error).__name__}: {error}"] += 1
            took_s = time.monotonic() - began_s
            seen.longest_s = max(seen.longest_s, took_s)
            seen.overrun_s = max(seen.overrun_s, took_s - DEADLINE_S)

    watch = routing == "watch"
    async with AsyncClient(scene.lookup, timeout_s=DEADLINE_S, routing="watch" if watch else "lookup") as client:
        callers = [asyncio.create_task(caller(client)) for _ in range(options.callers)]
        began_s = time.monotonic()
        await asyncio.sleep(2)
        await asyncio.to_thread(FAULTS[fault], scene, options.lasting)
        await asyncio.sleep(max(2.0, options.lasting - (time.monotonic() - began_s)))
        over.set()
        await asyncio.gather(*callers)
        seen.took_s = time.monotonic() - began_s
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lasting", type=float, default=10.0, help="seconds that what is broken stays so")
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--only", nargs="*", default=FAULTS, choices=list(FAULTS), help="names of faults")
    options = parser.parse_args()
    print("| fault | routing | calls | failed | attempts | allowed | longest, s | overrun, ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for fault in options.only:
        for routing in ("watch", "lookup"):
            scene = Scene()
            try:
                print(asyncio.run(suffer(scene, fault, routing, options)).row(fault, routing), flush=True)
            finally:
                scene.end()


if __name__ == "__main__":
    main()
