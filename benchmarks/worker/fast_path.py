"""What a request costs the worker's event loop on either road: processor microseconds of its thread, and the ratio.

    python -m benchmarks.worker.fast_path [--seconds 2] [--rounds 5]

Two workers with the engine that predicts nothing, one with the plain road and one that is aiohttp's alone, are asked
in turns over 16 connections: raw bodies and forms of 35 kB, and requests for another process (421), which are refused
before their body is read: what an overload's refusals cost, but for the look at the queue.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.connections import Target
from benchmarks.harness.load_generator import closed
from benchmarks.harness.rounds import P2P, answers, free_port, server
from benchmarks.worker.multipart import BOUNDARY, form, image, request

CONNECTIONS = 16
BODY_BYTES = 35_000
ROADS = ("plain", "aiohttp")


def serve_without(arguments: Sequence[str]) -> None:
    """Be `p2p worker` with connections of aiohttp only."""
    from typing import Any

    import worker.server.serve
    from p2pclient.__main__ import main as p2p
    from worker.fast_path.aiohttp_connection import Connection

    def ordinary(server: Any, _: Any, **options: Any) -> Any:
        return lambda: Connection(server, loop=server._loop, **options)

    service: Any = worker.server.serve
    service.roads = ordinary
    sys.argv = ["p2p", "worker", *arguments]
    p2p()


def messages() -> dict[str, bytes]:
    """What is posted, by name."""
    content = image(BODY_BYTES)
    raw = request(content, b"image/bmp")
    return {
        "raw": raw,
        "form": request(form(content), b"multipart/form-data; boundary=" + BOUNDARY),
        "refused": raw.replace(b"Host: x", b"Host: x\r\nP2P-Boot: another", 1),
    }


def loop_us(pid: int) -> float:
    """Processor microseconds of a process's first thread, which runs the event loop; from the scheduler."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e3


def cost_us(pid: int, port: int, message: bytes, *, seconds: float, status: int) -> float:
    """Microseconds of the event loop for each of these requests."""
    before_us = loop_us(pid)
    load = closed(Target(port, (message,)), connections=CONNECTIONS, seconds=seconds)
    if load.count(status) != len(load.answers):
        raise RuntimeError(f"not all answers had the status {status}")
    return (loop_us(pid) - before_us) / len(load.answers)


def main() -> None:
    if sys.argv[1:2] == ["--be-the-worker"]:
        serve_without(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ports, agent_port = {road: free_port() for road in ROADS}, free_port()
    programs = {
        "plain": [*P2P, "worker"],
        "aiohttp": [sys.executable, "-m", "benchmarks.worker.fast_path", "--be-the-worker"],
    }

    def flags(road: str) -> list[str]:
        consul = f"http://127.0.0.1:{agent_port}"
        return [*programs[road], "--engine", "echo", "--port", str(ports[road]), "--consul", consul]

    with (
        server([*P2P, "agent", "--port", str(agent_port)]),
        server(flags("plain"), core=None) as plain,
        server(flags("aiohttp"), core=None) as ordinary,
    ):
        pids = {"plain": plain.pid, "aiohttp": ordinary.pid}
        for port in ports.values():
            answers(f"http://127.0.0.1:{port}/readyz")
        print("| event loop, microseconds a request | plain | aiohttp | plain / aiohttp |\n| --- | --- | --- | --- |")
        for name, message in messages().items():
            spent: dict[str, list[float]] = {road: [] for road in ROADS}
            for number in range(options.rounds + 1):
                for road in ROADS:
                    status = 421 if name == "refused" else 200
                    took = cost_us(pids[road], ports[road], message, seconds=options.seconds, status=status)
                    if number:  # the first is for warming up
                        spent[road].append(took)
            ours, theirs = (statistics.median(spent[road]) for road in ROADS)
            print(f"| {name} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
