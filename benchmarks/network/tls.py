"""What TLS costs: processor time of the event loop for each request, and memory for each connection.

    python -m benchmarks.network.tls [--seconds 2] [--rounds 5]

Two lookup services and two workers with the engine that predicts nothing, one of each over plain HTTP and one over TLS
1.3 with a P-256 certificate, answer in turns: lookups and images of 35 kB over 16 kept connections, and lookups on a
new connection each. Client and server are one process each, so that a busy machine changes little.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.connections import complete_status
from benchmarks.harness.inputs import padded_bmp
from benchmarks.harness.p2p import P2P, agent
from benchmarks.harness.processes import free_port, server, thread_cpu_s, wait_until
from benchmarks.harness.requests import post
from benchmarks.harness.summary import markdown_row, markdown_table
from tests.support.security.certificates import Authority

CONNECTIONS = 16
IDLE_CONNECTIONS = 200
BODY_BYTES = 35_000
LOOKUP = b"GET /next HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass(frozen=True)
class Port:
    """A server's process and port, and what its TLS is verified with; None: it speaks plain HTTP."""

    pid: int
    number: int
    trust: ssl.SSLContext | None

    def connect(self) -> socket.socket:
        """A new connection."""
        made = socket.create_connection(("127.0.0.1", self.number))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made if self.trust is None else self.trust.wrap_socket(made, server_hostname="127.0.0.1")

    def answers(self) -> bool:
        """Whether a lookup, or at a worker the question whether it is ready, is answered 200 now."""
        try:
            with self.connect() as connection:
                return exchange([connection], b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") == [200]
        except OSError:
            return False


def exchange(connections: list[socket.socket], request: bytes) -> list[int]:
    """Send a request on each connection, then read all answers; their statuses."""
    for connection in connections:
        connection.sendall(request)
    return [_status(connection) for connection in connections]


def _status(connection: socket.socket) -> int:
    received = bytearray()
    while (status := complete_status(received)) is None:
        data = connection.recv(1 << 16)
        if not data:
            raise ConnectionError("the connection ended in mid-answer")
        received += data
    return status


def kept(port: Port, request: bytes, seconds: float) -> int:
    """Requests over kept connections; how many."""
    count, connections = 0, [port.connect() for _ in range(CONNECTIONS)]
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        if set(exchange(connections, request)) != {200}:
            raise RuntimeError("not all answers had the status 200")
        count += CONNECTIONS
    for connection in connections:
        connection.close()
    return count


def fresh(port: Port, request: bytes, seconds: float) -> int:
    """Requests on a new connection each; how many."""
    count, end_s = 0, time.monotonic() + seconds
    while time.monotonic() < end_s:
        with port.connect() as connection:
            exchange([connection], request)
        count += 1
    return count


def cost_us(port: Port, load: Callable[[Port, bytes, float], int], request: bytes, seconds: float) -> float:
    """Processor microseconds of the server's event loop for each request."""
    before_s = thread_cpu_s(port.pid, port.pid)
    count = load(port, request, seconds)
    return (thread_cpu_s(port.pid, port.pid) - before_s) * 1e6 / count


def kib_per_connection(port: Port) -> float:
    """By how much the server's resident memory grows with each kept connection that has carried one lookup."""
    exchange([port.connect()], LOOKUP)
    before = _resident_kib(port.pid)
    connections = [port.connect() for _ in range(IDLE_CONNECTIONS)]
    exchange(connections, LOOKUP)
    grown = _resident_kib(port.pid) - before
    for connection in connections:
        connection.close()
    return grown / IDLE_CONNECTIONS


def _resident_kib(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def rows(lookups: list[Port], workers: list[Port], *, seconds: float, rounds: int) -> Iterator[list[str]]:
    """A row for each kind of request: the medians without and with TLS, and the median of the rounds' ratios."""
    image = post(padded_bmp(BODY_BYTES), "image/bmp")
    kinds = (
        ("lookup, kept connection", lookups, kept, LOOKUP),
        ("lookup, new connection", lookups, fresh, LOOKUP),
        ("image of 35 kB, kept connection", workers, kept, image),
    )
    for name, ports, load, request in kinds:
        turns = [[cost_us(port, load, request, seconds) for port in ports] for _ in range(rounds + 1)][1:]
        plain, tls = (statistics.median(turn[place] for turn in turns) for place in (0, 1))
        ratio = statistics.median(turn[1] / turn[0] for turn in turns)
        yield [f"{name}, us", f"{plain:.0f}", f"{tls:.0f}", f"{ratio:.2f}"]
    plain, tls = (kib_per_connection(port) for port in lookups)
    yield ["memory of an idle connection, KiB", f"{plain:.0f}", f"{tls:.0f}", f"{tls / max(plain, 1):.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with ExitStack() as stack:
        authority = Authority(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        pem, consul = authority.sign("server"), stack.enter_context(agent(core=None))

        def start(command: list[str], *, tls: bool) -> Port:
            number = free_port()
            flags = ["--tls-cert", str(pem.cert), "--tls-key", str(pem.key)] if tls else []
            arguments = [*P2P, *command, *flags, "--port", str(number), "--consul", consul.url]
            process = stack.enter_context(server(arguments, core=None))
            return Port(process.pid, number, ssl.create_default_context(cafile=authority.ca) if tls else None)

        # The agent does not trust the authority, so that workers have heartbeats alone.
        worker = ["worker", "--engine", "echo", "--service", "echo", "--no-agent-check"]
        workers = [start(worker, tls=tls) for tls in (False, True)]
        lookup = ["registry", "--service", "echo", "--state", ""]
        lookups = [start(lookup, tls=tls) for tls in (False, True)]
        for port in (*workers, *lookups):
            wait_until(port.answers, what=f"port {port.number} answers")
        print(markdown_table(["", "plain", "TLS", "TLS / plain"], ()))
        for row in rows(lookups, workers, seconds=options.seconds, rounds=options.rounds):
            print(markdown_row(row), flush=True)


if __name__ == "__main__":
    main()
