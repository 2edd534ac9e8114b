"""Seven machines that a playbook makes a fleet, with TLS, tokens and tickets; an eighth predicts by it and scrapes it.

Whatever is done to the fleet is an event, which lasts until all is well again.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.machines.client_machine import ClientMachine
from tests.support.machines.event_table import Event
from tests.support.machines.machine import Machine, running_machines
from tests.support.machines.playbook import Playbook
from tests.support.machines.prometheus import PrometheusMachine
from tests.support.machines.wheels import ROOT, Wheels

KINDS = {
    **dict.fromkeys(("s1", "s2", "s3"), "server"),
    **dict.fromkeys(("w1", "w2", "w3"), "worker"),
    "l1": "lookup",
}
ROLES = {
    "server": ("consul-server",),
    "worker": ("consul-client", "worker"),
    "lookup": ("consul-client", "lookup"),
}
LATER = "w4"
"""The machine that joins as a host of a worker."""

PICTURE = ROOT / "deploy" / "cat.jpg"
SETTLED_WITHIN_S = 120.0
AFTER_S = 4.0
"""How long predictions are counted after all is well again: faults of that moment belong to the event."""


@dataclass
class LargeFleet:
    """The running machines, by name."""

    machines: Mapping[str, Machine]
    playbook: Playbook
    client: ClientMachine
    prometheus: PrometheusMachine
    folder: Path
    wheels: Wheels

    events: list[Event] = field(default_factory=list)
    token: str = field(default="", repr=False)
    """Of the caller who predicts."""

    operator_token: str = field(default="", repr=False)
    """Of Prometheus."""

    @property
    def secrets(self) -> Path:
        """What bootstrap.sh makes on the operator's machine, which is this one."""
        return self.folder / "secrets"

    @property
    def lookup(self) -> str:
        """Where the lookup service answers."""
        return f"https://{self.machines['l1'].address}:12480"

    def add(self, name: str, kind: str) -> None:
        """Write a machine into the inventory; workers have the engine that needs no framework on the machine."""
        workers = {"p2p_workers": {"1": {"P2P_WORKER_ENGINE": "echo"}}} if kind == "worker" else {}
        self.playbook.add(self.machines[name], kind, **workers)

    def make_callers(self) -> None:
        """Write the token file of the fleet, with a caller who predicts and Prometheus."""
        self.token, visitor = _new_token("visitor")
        self.operator_token, prometheus = _new_token("prometheus", "--role", "operator")
        self.secrets.mkdir(mode=0o700)
        (self.secrets / "tokens.toml").write_text(f"{visitor}\n{prometheus}")

    def workers(self) -> dict[str, str]:
        """The health of the worker at each address that the lookup service knows; none where it does not answer."""
        header = self.folder / "header.txt"
        header.write_text(f"Authorization: Bearer {self.token}\n")
        trusting = ("--cacert", str(self.secrets / "ca" / "ca.pem"), "--header", f"@{header}")
        command = ["curl", "-sS", "--fail", "--max-time", "5", *trusting, f"{self.lookup}/instances/classify"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return {}
        return {each["host"]: each["health"] for each in json.loads(done.stdout)["instances"]}

    def settled(self, *names: str) -> bool:
        """Whether the workers of exactly these hosts are handed out."""
        passing = {address for address, health in self.workers().items() if health == "passing"}
        return passing == {self.machines[name].address for name in names}

    def play(self, *options: str, wheels: Path | None = None) -> None:
        """Run the playbook, with other wheels from now on where they are given."""
        if wheels is not None:
            self.playbook.variables = {**self.playbook.variables, "p2p_wheels": str(wheels)}
        self.playbook.run(*options)

    def install(self, name: str) -> str:
        """Run install.sh on a machine by hand, with the wheels that it was given first; what it said."""
        machine, roles = self.machines[name], ROLES[self.playbook.kinds[name]]
        machine.run("rm", "-rf", "/root/host-files")
        machine.put(self.secrets / "hosts" / name, "/root/host-files")
        wheels = ("--wheels", "/srv/wheels", "--offline", "--extras", "images")
        command = ["/srv/deploy/install.sh", "--host-files", "/root/host-files", "--consul", "/usr/local/bin/consul"]
        return machine.run(*command, *(wheels if len(roles) > 1 else ()), *(f"--role={role}" for role in roles))

    def make_files(self) -> None:
        """Make what is missing among the files of the hosts, as the playbook does it."""
        named = [f"--{kind}={name}={self.machines[name].address}" for name, kind in self.playbook.kinds.items()]
        program = [str(ROOT / "deploy" / "consul" / "bootstrap.sh"), "files", str(self.secrets)]
        environ = {"PATH": os.environ["PATH"], "CONSUL_BIN": str(self.playbook.variables["consul_binary"])}
        command = [*program, *(part for option in named for part in option.split("=", 1))]
        subprocess.run(command, env=environ, check=True, capture_output=True)

    def consul(self, *arguments: str) -> str:
        """What Consul's servers answer to an operator."""
        environ = {
            "CONSUL_HTTP_ADDR": f"https://{self.machines['s1'].address}:8501",
            "CONSUL_CACERT": str(self.secrets / "ca" / "ca.pem"),
            "CONSUL_CLIENT_CERT": str(self.secrets / "operator.pem"),
            "CONSUL_CLIENT_KEY": str(self.secrets / "operator-key.pem"),
            "CONSUL_HTTP_TOKEN_FILE": str(self.secrets / "tokens" / "operator"),
        }
        binary = str(self.playbook.variables["consul_binary"])
        return subprocess.run([binary, *arguments], env=environ, capture_output=True, text=True).stdout

    def voters(self) -> int:
        """How many servers vote, as the leader sees it; 0 while there is none."""
        said = self.consul("operator", "raft", "list-peers")
        return said.count(" true ") if " leader " in said else 0

    def as_lookup(self, *command: str) -> str:
        """Run a command on the lookup host as its service's user, with its settings."""
        files = [
            part
            for name in ("consul", "access", "registry")
            for part in ("--property", f"EnvironmentFile=/etc/p2p-serving/{name}.env")
        ]
        program = ("systemd-run", "--quiet", "--pipe", "--wait", "--uid=p2p-serving", *files, *command)
        return self.machines["l1"].run(*program)

    def certificate(self, address: str, port: int) -> str:
        """The certificate that a server shows (PEM)."""
        return ssl.get_server_certificate((address, port), ca_certs=str(self.secrets / "ca" / "ca.pem"), timeout=5)

    @contextmanager
    def event(self, name: str, *workers: str) -> Iterator[Event]:
        """Do something to the fleet, then wait until the workers of these hosts serve; p2pclient may fail nothing."""
        began_s, event = time.monotonic(), Event(name)
        yield event
        wait(lambda: self.settled(*workers), lambda: f"{name}: not {workers} but {self.workers()}")
        event.seconds = time.monotonic() - began_s
        self.client.machine.run("sleep", str(AFTER_S))
        event.tried = self.client.tried(since_s=began_s)
        self.events.append(event)
        print(f"\n{event.summary()}")
        assert not event.failures("p2pclient")


def _new_token(name: str, *options: str) -> tuple[str, str]:
    """A token, and what the token file says of it."""
    command = [sys.executable, "-m", "p2pclient", "tokens", "new", name, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    secret, _, table = done.stdout.partition("\n\nAppend this to the token file:\n\n")
    return secret.split()[-1], table


def wait(condition: Callable[[], bool], complaint: Callable[[], str], *, within_s: float = SETTLED_WITHIN_S) -> None:
    """Wait for a condition that asks other machines."""
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, complaint()
        time.sleep(0.2)


@contextmanager
def running_large_fleet(consul: Path, wheels: Wheels, folder: Path) -> Iterator[LargeFleet]:
    """Bare machines, and the playbook that makes a fleet of them; nothing is installed yet."""
    variables = {
        "p2p_secrets": str(folder / "secrets"),
        "p2p_wheels": str(wheels.this),
        "p2p_offline": True,
        "p2p_extras": "images",
        "p2p_protection": ["tls", "tokens", "tickets"],
        "p2p_folder": "/root/brought",
        "consul_binary": str(consul),
    }
    folders = {"/srv/wheels": wheels.this, "/srv/deploy": ROOT / "deploy"}
    with running_machines(*KINDS, LATER, "client", folders=folders) as machines:
        playbook = Playbook(folder, variables)
        fleet = LargeFleet(
            machines,
            playbook,
            ClientMachine(machines["client"]),
            PrometheusMachine(machines["client"]),
            folder,
            wheels,
        )
        for name, kind in KINDS.items():
            fleet.add(name, kind)
        fleet.make_callers()
        yield fleet
