"""The Consuls that benchmarks run against, each a child process that can be measured: the real and the embedded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contest import P2P, SERVER_CORE, answers, free_port, server
from deploy.consul.fetch import find_or_fetch

CONNECTIONS = 4000
"""From one client; Consul's default is 200, and a watch is a connection."""


@dataclass(frozen=True, slots=True)
class Running:
    """A Consul that answers at `url`; `pid` is its process."""

    url: str
    pid: int


def consul_command(folder: Path, *, host: str, http_port: int) -> Sequence[str | Path]:
    """The command of a real Consul of one server that keeps nothing and answers at `host`."""
    ports = [f"-{name}-port={free_port()}" for name in ("dns", "serf-lan", "serf-wan", "server")]
    limits = folder / "limits.json"
    limits.write_text(f'{{"limits": {{"http_max_conns_per_client": {CONNECTIONS}}}}}')
    where = [f"-bind={host}", f"-client={host}", f"-http-port={http_port}", "-grpc-port=-1", *ports]
    return [find_or_fetch(), "agent", "-dev", "-log-level=err", f"-config-file={limits}", *where]


@contextmanager
def real_consul(folder: Path, *, core: int | None = SERVER_CORE) -> Iterator[Running]:
    """A real Consul with its log in `folder`."""
    port = free_port()
    command = consul_command(folder, host="127.0.0.1", http_port=port)
    with server(command, core=core, log=folder / "consul.log") as process:
        url = f"http://127.0.0.1:{port}"
        answers(f"{url}/v1/catalog/service/consul")
        yield Running(url, process.pid)


@contextmanager
def embedded_agent(*, core: int | None = SERVER_CORE) -> Iterator[Running]:
    """`p2p agent`."""
    port = free_port()
    with server([*P2P, "agent", "--port", str(port)], core=core) as process:
        url = f"http://127.0.0.1:{port}"
        answers(f"{url}/v1/agent/self")
        yield Running(url, process.pid)
