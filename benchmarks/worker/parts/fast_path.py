"""The processor time that a request takes from the worker's event loop, with and without the fast path.

    python -m benchmarks.worker.parts.fast_path [--seconds 2] [--rounds 5]

Two workers with the engine that predicts nothing, one as it is and one whose connections are all aiohttp's, answer in
turns over 16 connections: raw bodies and forms of 35 kB, and requests for another process (421), which are refused
before their body is read. Such a refusal costs what one in overload does, except for the check of the queue.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from benchmarks.harness.connections import Target
from benchmarks.harness.inputs import padded_bmp
from benchmarks.harness.load_generator import closed_loop
from benchmarks.harness.p2p import P2P, agent, run_p2p
from benchmarks.harness.processes import free_port, get, server, thread_cpu_s
from benchmarks.harness.requests import FORM_TYPE, form, post
from benchmarks.harness.summary import markdown_row, markdown_table

CONNECTIONS = 16
BODY_BYTES = 35_000
VARIANTS = ("fast", "aiohttp")


def serve_without(arguments: Sequence[str]) -> None:
    """Run `p2p worker` with connections of aiohttp only."""
    from typing import Any

    import worker.server.serve
    from worker.fast_path.aiohttp_connection import AiohttpConnection

    def ordinary(_: Any, connections: Any, **options: Any) -> Any:
        return lambda server: AiohttpConnection(server, connections, **options)

    service: Any = worker.server.serve
    service.connection_factory = ordinary
    run_p2p(["worker", *arguments])


def messages() -> dict[str, bytes]:
    """Requests by name."""
    content = padded_bmp(BODY_BYTES)
    return {
        "raw": post(content, "image/bmp"),
        "form": post(form(content, "image/bmp"), FORM_TYPE),
        "refused": post(content, "image/bmp", headers="P2P-Boot: another\r\n"),
    }


def cost_us(pid: int, port: int, request: bytes, *, seconds: float, status: int) -> float:
    """Processor microseconds of the event loop, which runs in the process's first thread, for one request."""
    before_s = thread_cpu_s(pid, pid)
    load = closed_loop(Target(port, (request,)), connections=CONNECTIONS, seconds=seconds)
    if load.count(status) != len(load.answers):
        raise RuntimeError(f"not all answers had the status {status}")
    return (thread_cpu_s(pid, pid) - before_s) * 1e6 / len(load.answers)


def rows(pids: Mapping[str, int], ports: Mapping[str, int], *, seconds: float, rounds: int) -> Iterator[list[str]]:
    """A row for each request: the median of each variant, and the ratio."""
    for name, request in messages().items():
        spent: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        status = 421 if name == "refused" else 200
        for number in range(rounds + 1):
            for variant in VARIANTS:
                took = cost_us(pids[variant], ports[variant], request, seconds=seconds, status=status)
                if number:  # the first round warms up
                    spent[variant].append(took)
        fast, aiohttp = (statistics.median(spent[variant]) for variant in VARIANTS)
        yield [name, f"{fast:.0f}", f"{aiohttp:.0f}", f"{fast / aiohttp:.2f}"]


def main() -> None:
    if sys.argv[1:2] == ["--be-the-worker"]:
        serve_without(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ports = {variant: free_port() for variant in VARIANTS}
    programs = {
        "fast": [*P2P, "worker"],
        "aiohttp": [sys.executable, "-m", "benchmarks.worker.parts.fast_path", "--be-the-worker"],
    }
    with ExitStack() as stack:
        consul, pids = stack.enter_context(agent()), {}
        for variant, program in programs.items():
            flags = ["--engine", "echo", "--port", str(ports[variant]), "--consul", consul.url]
            pids[variant] = stack.enter_context(server([*program, *flags], core=None)).pid
        for port in ports.values():
            get(f"http://127.0.0.1:{port}/readyz")
        print(markdown_table(["event loop, microseconds per request", *VARIANTS, "fast / aiohttp"], ()))
        for row in rows(pids, ports, seconds=options.seconds, rounds=options.rounds):
            print(markdown_row(row), flush=True)


if __name__ == "__main__":
    main()
