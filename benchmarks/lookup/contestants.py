"""The servers that answer lookups beside ours, started on the server's core, and how many answers each gives."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.affinity import CLIENT_CORE
from benchmarks.harness.consul import Consul, real_consul, register
from benchmarks.harness.p2p import Running, agent, lookup_service
from benchmarks.harness.process_tree import process_tree
from benchmarks.harness.processes import free_port, get, missing_programs, server, threads_cpu_s
from benchmarks.harness.rounds import progress
from benchmarks.harness.wrk import wrk

RIVALS = Path(__file__).parents[1] / "rivals"
MANY = 10_000
IDLE = 2_000
VERSION = "3"
OURS = "p2p registry"
NGINX = "nginx, return 200"
JSON = "Accept: application/json"

Contestants = dict[str, Callable[[], float]]
"""Of each contestant, a function that measures its answers per second for one turn."""


class NotAvailable(Exception):
    """A contestant that cannot run on this machine, and why."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How one turn is measured: for so many seconds, and by the server's processor time or by the clock."""

    seconds: float
    by_processor_time: bool = False

    def of(self, running: Running | Consul, path: str = "", *headers: str) -> Callable[[], float]:
        """A function that asks a server for `path` for one turn; its answers per second."""

        def measure() -> float:
            before_s = self._spent_s(running.pid)
            rate = wrk(f"{running.url}{path}", seconds=self.seconds, headers=headers)
            if not self.by_processor_time:
                return rate
            return rate * max(1, round(self.seconds)) / (self._spent_s(running.pid) - before_s)

        return measure

    @staticmethod
    def _spent_s(pid: int) -> float:
        return sum(threads_cpu_s(each) for each in process_tree(pid))


@contextmanager
def contestants(turn: Turn, *, only: str = "") -> Iterator[Contestants]:
    """All contestants that run on this machine; the others are told on stderr.

    `only` is a regular expression: those whose names it does not match are left out.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        consul = stack.enter_context(real_consul(folder))
        found = _ours(stack, consul.url, turn)
        for name, start in _rivals(folder, consul, turn).items():
            if not re.search(only, name):
                continue
            try:
                found[name] = start(stack)
            except NotAvailable as reason:
                progress(f"{name} is left out: {reason}")
        yield {name: measure for name, measure in found.items() if re.search(only, name)}


def _ours(stack: ExitStack, consul_url: str, turn: Turn) -> Contestants:
    """Our lookup service with two workers, asked for all forms of answers, with many, and with idle connections."""
    embedded = stack.enter_context(agent(core=CLIENT_CORE)).url
    asyncio.run(register(consul_url, "classify", _hosts(2), meta={"version": VERSION, "auth": "ticket"}))
    asyncio.run(register(embedded, "many", _hosts(MANY)))
    keys = stack.enter_context(tempfile.TemporaryDirectory())
    two, signing, with_idle = (
        stack.enter_context(lookup_service(consul_url, "--service", "classify", *flags, knows={"classify": 2}))
        for flags in ((), ("--ticket-keys", keys), ())
    )
    many = stack.enter_context(lookup_service(embedded, "--service", "many", knows={"many": MANY}))
    return {
        OURS: turn.of(two, "/next"),
        f"{OURS}, JSON": turn.of(two, "/next", JSON),
        f"{OURS}, ?count=3": turn.of(two, "/next?count=3"),
        f"{OURS}, ?version={VERSION}": turn.of(two, f"/next?version={VERSION}"),
        f"{OURS}, a ticket": turn.of(signing, "/next"),
        f"{OURS}, all four": turn.of(signing, f"/next?count=3&version={VERSION}", JSON),
        f"{OURS}, {MANY:,} workers": turn.of(many, "/next"),
        f"{OURS}, {IDLE:,} idle connections": lambda: _with_idle_connections(with_idle, turn),
    }


def _rivals(folder: Path, consul: Consul, turn: Turn) -> dict[str, Callable[[ExitStack], Callable[[], float]]]:
    """Of each rival, a function that starts it and returns what measures it; raises NotAvailable."""
    rivals: dict[str, Callable[[ExitStack], Callable[[], float]]] = {
        NGINX: lambda stack: turn.of(stack.enter_context(_nginx(folder)), "/"),
        "node http + seaport": lambda stack: turn.of(stack.enter_context(_seaport(folder)), "/"),
        "plain aiohttp": lambda stack: turn.of(stack.enter_context(_plain_aiohttp()), "/"),
        "Consul's health endpoint": lambda _: turn.of(consul, "/v1/health/service/classify?passing"),
    }
    if not turn.by_processor_time:
        rivals["Consul's DNS"] = lambda _: _dnsperf(consul.dns_port, "classify", folder, seconds=turn.seconds)
    return rivals


def _hosts(count: int) -> list[tuple[str, int]]:
    return [(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 9000) for number in range(count)]


@contextmanager
def _nginx(folder: Path) -> Iterator[Running]:
    """nginx that answers every request with a fixed text."""
    _require("nginx")
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;"
        "events { worker_connections 1024; }"
        f"http {{ access_log off; keepalive_requests 1000000000; server {{ listen 127.0.0.1:{port};"
        ' location / { return 200 "20000\\n"; } } }'
    )
    with _answering(["nginx", "-p", folder, "-c", folder / "nginx.conf"], port) as running:
        yield running


@contextmanager
def _seaport(folder: Path) -> Iterator[Running]:
    """The article's lookup in node, installed from npm."""
    _require("node", "npm")
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "seaport@1"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotAvailable(f"npm does not install seaport: {done.stderr.strip()[-300:]}")
    port = free_port()
    modules = {"NODE_PATH": str(folder / "node_modules")}
    command = ["node", str(RIVALS / "seaport_lookup.js"), str(free_port()), str(port), "2"]
    with _answering(command, port, environ=modules) as running:
        yield running


@contextmanager
def _plain_aiohttp() -> Iterator[Running]:
    """An aiohttp application with a list and a counter."""
    port = free_port()
    with _answering([sys.executable, RIVALS / "aiohttp_lookup.py", str(port)], port) as running:
        yield running


@contextmanager
def _answering(command: Sequence[str | Path], port: int, environ: dict[str, str] | None = None) -> Iterator[Running]:
    """A server that answers `/` on `port`."""
    with server(command, environ=environ) as process:
        url = f"http://127.0.0.1:{port}"
        get(f"{url}/")
        yield Running(url, process)


def _with_idle_connections(running: Running, turn: Turn) -> float:
    """Lookups per second while many other connections are open and send nothing."""
    idle = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(IDLE)]
    try:
        return turn.of(running, "/next")()
    finally:
        for connection in idle:
            connection.close()


def _dnsperf(port: int, service: str, folder: Path, *, seconds: float) -> Callable[[], float]:
    """SRV queries per second, measured by dnsperf."""
    _require("dnsperf")
    queries = folder / "queries"
    queries.write_text(f"{service}.service.consul SRV\n")
    flags = ["-s", "127.0.0.1", "-p", str(port), "-d", str(queries), "-l", str(seconds), "-c", "32", "-T", "1"]

    def measure() -> float:
        command = ["taskset", "-c", str(CLIENT_CORE), "dnsperf", *flags]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"Queries per second:\s*([\d.]+)", printed)
        assert found, printed
        return float(found[1])

    return measure


def _require(*programs: str) -> None:
    if missing := missing_programs(*programs):
        raise NotAvailable(f"{' and '.join(missing)} not installed")
