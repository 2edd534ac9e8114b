"""The product's processes, started by its public commands, from this checkout or from another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.affinity import SERVER_CORE
from benchmarks.harness.processes import READY_WITHIN_S, free_port, get, server, wait_until

ROOT = Path(__file__).parents[2]
"""The folder of this checkout."""

P2P = [sys.executable, "-m", "p2pclient"]
"""The command `p2p` of the current folder, or of what is installed."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process of the product that answers at `url`."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.url.rpartition(":")[2])


@contextmanager
def agent(*, core: int | None = SERVER_CORE, checkout: Path = ROOT) -> Iterator[Running]:
    """`p2p agent`: the embedded Consul agent."""
    with _command("agent", ready="/v1/agent/self", core=core, checkout=checkout) as running:
        yield running


@contextmanager
def lookup_service(
    consul_url: str,
    *flags: str,
    knows: Mapping[str, int] | None = None,
    core: int | None = SERVER_CORE,
    checkout: Path = ROOT,
) -> Iterator[Running]:
    """`p2p registry`, of one process that saves no state, once it serves as many workers of each service as said."""
    arguments = ["--consul", consul_url, "--state", "", *flags]
    ready = "/readyz" if knows else "/healthz"
    with _command("registry", *arguments, ready=ready, core=core, checkout=checkout) as running:
        wait_for_workers(running.url, knows or {})
        yield running


def wait_for_workers(lookup_url: str, expected: Mapping[str, int]) -> None:
    """Wait until the lookup service hands out as many workers of each service as said."""

    def known() -> bool:
        serving = {service["name"]: service["serving"] for service in json.loads(get(f"{lookup_url}/services"))}
        return all(serving.get(service) == count for service, count in expected.items())

    wait_until(known, what=f"the lookup service knows {dict(expected)}")


@contextmanager
def worker(
    consul_url: str,
    *flags: str,
    engine: str = "echo",
    core: int | None = SERVER_CORE,
    checkout: Path = ROOT,
    log: Path | None = None,
    within_s: float = READY_WITHIN_S,
) -> Iterator[Running]:
    """`p2p worker`, once it answers; with the engine that predicts nothing unless another is named."""
    arguments = ["--engine", engine, "--consul", consul_url, *flags]
    with _command(
        "worker", *arguments, ready="/readyz", core=core, checkout=checkout, log=log, within_s=within_s
    ) as running:
        yield running


@contextmanager
def _command(
    name: str,
    *arguments: str,
    ready: str,
    core: int | None,
    checkout: Path,
    log: Path | None = None,
    within_s: float = READY_WITHIN_S,
) -> Iterator[Running]:
    """One of the commands that serve, on a free port, once its path `ready` answers 200."""
    port = free_port()
    command = [*P2P, name, "--port", str(port), *arguments]
    with server(command, core=core, environ=environ_of(checkout), folder=checkout, log=log) as process:
        url = f"http://127.0.0.1:{port}"
        get(f"{url}{ready}", within_s=within_s)
        yield Running(url, process)


def environ_of(checkout: Path) -> dict[str, str]:
    """The environment in which Python imports the product from `checkout`."""
    return {"PYTHONPATH": str(checkout)}


def imported_from(checkout: Path) -> Path:
    """The file that Python imports the product's commands from in the environment of `checkout`."""
    done = subprocess.run(
        [sys.executable, "-c", "import deploy; print(deploy.__file__)"],
        cwd=checkout, env=os.environ | environ_of(checkout), check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return Path(done.stdout.strip())
