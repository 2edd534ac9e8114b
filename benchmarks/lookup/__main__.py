"""Lookups a second: ours beside nginx, the article's node lookup, a plain aiohttp application, and Consul itself.

    python -m benchmarks.lookup [--seconds 4] [--rounds 5]

One core serves, one core asks (wrk -t1 -c32; dnsperf for Consul's DNS). Contestants take turns; medians count.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp

from benchmarks.harness.rounds import CLIENT_CORE, P2P, alternate, answers, free_port, needs, server, table, wrk
from tests.support.consul_binary.fetch import find_or_fetch

MANY = 10_000
IDLE = 2_000
OURS = "p2p registry"


async def register(consul: str, service: str, count: int) -> None:
    """Workers without checks, as many as asked."""
    gate = asyncio.Semaphore(32)

    async def one(http: aiohttp.ClientSession, number: int) -> None:
        host = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        body = {"Name": service, "ID": f"{service}-{number}", "Address": host, "Port": 9000, "Tags": ["p2p"]}
        async with gate, http.put(f"{consul}/v1/agent/service/register", json=body) as answer:
            answer.raise_for_status()

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(one(http, n) for n in range(count)))


@contextmanager
def registry(consul: str, service: str, count: int) -> Iterator[str]:
    """One of our lookup processes that knows `count` workers of `service`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["registry", "--port", str(port), "--service", service, "--consul", consul, "--state", ""]
    with server([*P2P, *arguments]):
        answers(f"{url}/readyz")
        while f'"serving": {count},' not in answers(f"{url}/services"):
            time.sleep(0.1)
        yield f"{url}/next"


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;"
        "events { worker_connections 1024; }"
        f"http {{ access_log off; keepalive_requests 1000000000; server {{ listen 127.0.0.1:{port};"
        ' location / { return 200 "20000\\n"; } } }'
    )
    with server(["nginx", "-p", folder, "-c", folder / "nginx.conf"]):
        answers(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def seaport(folder: Path) -> Iterator[str]:
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "seaport@1"]
    subprocess.run(install, check=True, capture_output=True)
    script = Path(__file__).parents[1] / "rivals" / "seaport_lookup.js"
    port = free_port()
    modules = {"NODE_PATH": str(folder / "node_modules")}
    with server(["node", script, str(free_port()), str(port), "2"], environ=modules):
        answers(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def plain_aiohttp() -> Iterator[str]:
    port = free_port()
    with server([P2P[0], Path(__file__).parents[1] / "rivals" / "aiohttp_lookup.py", str(port)]):
        answers(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def real_consul(folder: Path) -> Iterator[tuple[str, int]]:
    """The real Consul, pinned: its HTTP address and DNS port."""
    ports = {name: free_port() for name in ("http", "dns", "serf_lan", "serf_wan", "server")}
    flags = [f"-{name.replace('_', '-')}-port={port}" for name, port in ports.items()]
    command = [find_or_fetch(), "agent", "-dev", "-log-level=err", "-bind=127.0.0.1", "-grpc-port=-1", *flags]
    with server(command, log=folder / "consul.log"):
        url = f"http://127.0.0.1:{ports['http']}"
        answers(f"{url}/v1/agent/self")
        yield url, ports["dns"]


@contextmanager
def idle_connections(url: str, count: int) -> Iterator[None]:
    """So many connections to a lookup process that send nothing."""
    port = int(url.split(":")[2].partition("/")[0])
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    try:
        yield
    finally:
        for connection in idle:
            connection.close()


def beside_idle(url: str, *, seconds: float) -> float:
    """Lookups a second while other connections are open and idle."""
    with idle_connections(url, IDLE):
        return wrk(url, seconds=seconds)


def dns(port: int, service: str, folder: Path, *, seconds: float) -> float:
    """SRV queries a second, by dnsperf."""
    queries = folder / "queries"
    queries.write_text(f"{service}.service.consul SRV\n")
    flags = ["-s", "127.0.0.1", "-p", str(port), "-d", str(queries), "-l", str(seconds), "-c", "32", "-T", "1"]
    command = ["taskset", "-c", str(CLIENT_CORE), "dnsperf", *flags]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Queries per second:\s*([\d.]+)", printed)
    assert found, printed
    return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    needs("wrk", "nginx", "node", "npm", "dnsperf")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        consul, dns_port = stack.enter_context(real_consul(folder))
        agent = f"http://127.0.0.1:{free_port()}"
        stack.enter_context(server([*P2P, "agent", "--port", agent.rpartition(":")[2]], core=CLIENT_CORE))
        answers(f"{agent}/v1/agent/self")
        asyncio.run(register(consul, "classify", 2))
        asyncio.run(register(agent, "many", MANY))
        crowded = stack.enter_context(registry(consul, "classify", 2))
        urls = {
            OURS: stack.enter_context(registry(consul, "classify", 2)),
            f"{OURS}, {MANY:,} workers": stack.enter_context(registry(agent, "many", MANY)),
            "nginx, return 200": stack.enter_context(nginx(folder)),
            "node http + seaport": stack.enter_context(seaport(folder)),
            "plain aiohttp": stack.enter_context(plain_aiohttp()),
            "Consul's health endpoint": f"{consul}/v1/health/service/classify?passing",
        }
        contestants = {name: lambda url=url: wrk(url, seconds=options.seconds) for name, url in urls.items()}
        contestants[f"{OURS}, {IDLE:,} idle connections"] = lambda: beside_idle(crowded, seconds=options.seconds)
        contestants["Consul's DNS"] = lambda: dns(dns_port, "classify", folder, seconds=options.seconds)
        print(table(alternate(contestants, rounds=options.rounds), unit="a second", beside=OURS))


if __name__ == "__main__":
    main()
