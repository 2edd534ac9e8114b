"""A real Consul as a child process, and workers that are registered without a process behind them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.harness.affinity import SERVER_CORE
from benchmarks.harness.processes import free_ports, get, server, wait_until
from tests.support.consul_binary.fetch import find_or_fetch

CONNECTIONS = 4000
"""From one client; Consul's default is 200, and a watch is a connection."""

REGISTER_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Consul:
    """A Consul that answers HTTP at `url` and DNS at `dns_port`; `pid` is its process."""

    url: str
    dns_port: int
    pid: int


def consul_command(folder: Path, *, host: str, http_port: int, dns_port: int | None = None) -> list[str | Path]:
    """The command of a Consul of one server that answers at `host` and keeps its data in `folder`.

    It is not started with `-dev`, which would indent its JSON and write its log of changes into memory only.
    """
    free = free_ports(3)
    settings = {
        "server": True,
        "bootstrap_expect": 1,
        "data_dir": str(folder / "consul"),
        "bind_addr": host,
        "client_addr": host,
        "ports": {
            **{"http": http_port, "dns": dns_port or free[0], "serf_lan": free[1], "server": free[2]},
            **{"grpc": -1, "serf_wan": -1},
        },
        "performance": {"raft_multiplier": 1},
        "limits": {"http_max_conns_per_client": CONNECTIONS},
        "disable_update_check": True,
    }
    path = folder / "consul.json"
    path.write_text(json.dumps(settings))
    return [find_or_fetch(), "agent", "-log-level=err", f"-config-file={path}"]


@contextmanager
def real_consul(folder: Path, *, core: int | None = SERVER_CORE) -> Iterator[Consul]:
    """A Consul on this machine that has a leader and serves its catalog."""
    http_port, dns_port = free_ports(2)
    command = consul_command(folder, host="127.0.0.1", http_port=http_port, dns_port=dns_port)
    with server(command, core=core, log=folder / "consul.log") as process:
        url = f"http://127.0.0.1:{http_port}"
        wait_until(lambda: "ServiceID" in get(f"{url}/v1/catalog/service/consul"), what="Consul has a leader")
        yield Consul(url, dns_port, process.pid)


async def register(
    consul_url: str, service: str, addresses: Iterable[tuple[str, int]], *, meta: Mapping[str, str] | None = None
) -> None:
    """Register workers with this meta, without checks, at these hosts and ports, through the API of Consul's agent."""
    gate = asyncio.Semaphore(REGISTER_AT_ONCE)

    async def one(http: aiohttp.ClientSession, host: str, port: int) -> None:
        name = f"{service}-{host}-{port}"
        body = {"Name": service, "ID": name, "Address": host, "Port": port, "Tags": ["p2p"], "Meta": meta or {}}
        async with gate, http.put("/v1/agent/service/register", json=body) as answer:
            answer.raise_for_status()

    async with aiohttp.ClientSession(consul_url) as http:
        await asyncio.gather(*(one(http, host, port) for host, port in addresses))
