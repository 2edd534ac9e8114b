"""A fleet of machines: a Consul server, a host of workers, a lookup host, installed as an operator does it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.machines.machine import Machine, running_machines
from tests.support.machines.wheels import ROOT, Wheels

ROLES = {
    "s1": ("consul-server",),
    "w1": ("consul-client", "worker"),
    "l1": ("consul-client", "lookup"),
}
KINDS = {"s1": "server", "w1": "worker", "l1": "lookup"}

WORKER_SETTINGS = """\
CONSUL_HTTP_TOKEN_FILE=/etc/p2p-serving/consul/worker.token
P2P_WORKER_HOST=0.0.0.0
P2P_WORKER_ENGINE=echo
P2P_SERVICE=classify
"""
"""The units' usual settings, but for the engine, which needs no framework on the machine."""


@dataclass
class Fleet:
    """The running machines; `secrets` is what bootstrap.sh made."""

    machines: Mapping[str, Machine]
    consul: Path
    secrets: Path
    wheels: Wheels
    """The machines see them in /srv/wheels and /srv/next."""

    @property
    def lookup(self) -> str:
        """Where the lookup service answers."""
        return f"http://{self.machines['l1'].address}:12480"

    def bootstrap(self, *arguments: str) -> None:
        """Run bootstrap.sh on the operator's machine, which is this one."""
        command, *rest = arguments
        program = [str(ROOT / "deploy" / "consul" / "bootstrap.sh"), command, str(self.secrets), *rest]
        environ = {"PATH": os.environ["PATH"], "CONSUL_BIN": str(self.consul)}
        done = subprocess.run(program, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    def install_command(self, name: str, *options: str) -> list[str]:
        """install.sh with the roles of this machine; later options override earlier ones."""
        roles = [part for role in ROLES[name] for part in ("--role", role)]
        packages = ("--wheels", "/srv/wheels", "--offline", "--extras", "images")
        wheels = packages if "consul-server" not in ROLES[name] else ()
        workers = ("--worker", "1", "--worker", "2") if "worker" in ROLES[name] else ()
        where = ("--consul", "/srv/consul/consul", "--host-files", "/root/host-files")
        return ["/srv/deploy/install.sh", *roles, *where, *wheels, *workers, *options]

    def install(self, name: str, *options: str) -> str:
        """Run install.sh; what it said. Raises PodmanError."""
        return self.machines[name].run(*self.install_command(name, *options))


@contextmanager
def running_fleet(consul: Path, wheels: Wheels, folder: Path) -> Iterator[Fleet]:
    """Bare machines, with the host's files and settings in place; nothing is installed yet."""
    folders = {
        "/srv/deploy": ROOT / "deploy",
        "/srv/wheels": wheels.this,
        "/srv/next": wheels.following,
        "/srv/consul": consul.parent,
    }
    with running_machines(*ROLES, folders=folders) as machines:
        fleet = Fleet(machines, consul, folder / "secrets", wheels)
        named = [f"--{KINDS[name]} {name}={machine.address}" for name, machine in machines.items()]
        fleet.bootstrap("files", *" ".join(named).split())
        for name, machine in machines.items():
            machine.put(fleet.secrets / "hosts" / name, "/root/host-files")
        for worker in (1, 2):
            machines["w1"].write(f"/etc/p2p-serving/worker-{worker}.env", WORKER_SETTINGS)
        yield fleet
