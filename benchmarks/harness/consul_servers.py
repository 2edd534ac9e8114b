"""The Consuls that benchmarks run against, each a child process that can be measured: the real and the embedded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.rounds import P2P, SERVER_CORE, answers, free_port, server
from tests.support.consul_binary.fetch import find_or_fetch

CONNECTIONS = 4000
"""From one client; Consul's default is 200, and a watch is a connection."""


@dataclass(frozen=True, slots=True)
class Running:
    """A Consul that answers at `url`; `pid` is its process."""

    url: str
    pid: int


def consul_command(folder: Path, *, host: str, http_port: int) -> list[str | Path]:
    """The command of a real Consul of one server that answers at `host` and keeps its data in `folder`.

    Not `-dev`: that one writes its JSON indented and its log of changes into memory.
    """
    ports = {name: free_port() for name in ("dns", "serf_lan", "server")}
    settings = {
        "server": True,
        "bootstrap_expect": 1,
        "data_dir": str(folder / "consul"),
        "bind_addr": host,
        "client_addr": host,
        "ports": {"http": http_port, "grpc": -1, "serf_wan": -1, **ports},
        "performance": {"raft_multiplier": 1},
        "limits": {"http_max_conns_per_client": CONNECTIONS},
        "disable_update_check": True,
    }
    path = folder / "consul.json"
    path.write_text(json.dumps(settings))
    return [find_or_fetch(), "agent", "-log-level=err", f"-config-file={path}"]


@contextmanager
def real_consul(folder: Path, *, core: int | None = SERVER_CORE) -> Iterator[Running]:
    """A real Consul that has a leader and has begun to serve."""
    port = free_port()
    command = consul_command(folder, host="127.0.0.1", http_port=port)
    with server(command, core=core, log=folder / "consul.log") as process:
        url = f"http://127.0.0.1:{port}"
        while "ServiceID" not in answers(f"{url}/v1/catalog/service/consul"):
            time.sleep(0.1)
        yield Running(url, process.pid)


@contextmanager
def embedded_agent(*, core: int | None = SERVER_CORE) -> Iterator[Running]:
    """`p2p agent`."""
    port = free_port()
    with server([*P2P, "agent", "--port", str(port)], core=core) as process:
        url = f"http://127.0.0.1:{port}"
        answers(f"{url}/v1/agent/self")
        yield Running(url, process.pid)
