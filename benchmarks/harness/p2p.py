"""The product's processes, started by its public commands, from this checkout or from another one."""

from __future__ import annotations

import atexit
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.harness.affinity import SERVER_CORE
from benchmarks.harness.checkout_metadata import write_metadata
from benchmarks.harness.processes import READY_WITHIN_S, free_port, get, server, wait_until

ROOT = Path(__file__).parents[2]
"""The folder of this checkout."""


def command_module(checkout: Path) -> str:
    """The module that is the command `p2p` in a checkout; it is another one in older checkouts."""
    return "deploy" if (checkout / "deploy" / "__main__.py").exists() else "p2pclient"


P2P = [sys.executable, "-m", command_module(ROOT)]
"""The command `p2p` of this checkout."""


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


@contextmanager
def proxy(consul_url: str, *flags: str, core: int | None = SERVER_CORE) -> Iterator[Running]:
    """`p2p proxy`, once it forwards to a worker."""
    with _command("proxy", "--consul", consul_url, *flags, ready="/readyz", core=core, checkout=ROOT) as running:
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
    """One of the commands that serve, on a free port, once its path `ready` answers 200.

    Exits with the end of its log if it does not start.
    """
    port = free_port()
    command = [sys.executable, "-m", command_module(checkout), name, "--port", str(port), *arguments]
    with (
        tempfile.TemporaryDirectory() as folder,
        server(
            command, core=core, environ=environ_of(checkout), folder=checkout, log=log or Path(folder, "log")
        ) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            get(f"{url}{ready}", within_s=within_s, process=process)
        except OSError as error:
            written = (log or Path(folder, "log")).read_text(errors="replace")[-1500:]
            sys.exit(f"p2p {name} of {checkout} does not start ({error}); its log ends with:\n{written}")
        yield Running(url, process)


def environ_of(checkout: Path) -> dict[str, str]:
    """The environment in which Python imports the product from `checkout`, and all else as this process does."""
    folders = (str(checkout), _metadata_of(checkout), os.environ.get("PYTHONPATH"))
    return {"PYTHONPATH": os.pathsep.join(filter(None, folders))}


@cache
def _metadata_of(checkout: Path) -> str | None:
    """A folder that names the commands of a checkout; None for this one, whose are installed."""
    if checkout == ROOT:
        return None
    folder = tempfile.TemporaryDirectory(prefix="p2p-commands-")
    atexit.register(folder.cleanup)
    write_metadata(Path(folder.name), checkout)
    return folder.name


def imported_from(checkout: Path) -> list[Path]:
    """The files that Python imports the product's packages from in the environment of `checkout`."""
    code = (
        "import p2pclient, registry, worker; print(p2pclient.__file__, registry.__file__, worker.__file__, sep='\\n')"
    )
    environ = os.environ | environ_of(checkout)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=checkout, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    return [Path(line) for line in done.stdout.split()]


def run_p2p(arguments: Sequence[str]) -> None:
    """Run a command of this checkout in this process, to the end of the process."""
    sys.argv = ["p2p", *arguments]
    runpy.run_module(command_module(ROOT), run_name="__main__", alter_sys=True)
