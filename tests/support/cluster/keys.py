"""The cluster's secrets: a certificate authority, a certificate for each host and for its clients, a gossip key."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster.network import Host


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Keys:
    """What proves who is who. `stranger_ca` signed nothing here."""

    ca: Path
    stranger_ca: Path
    gossip: str
    hosts: Mapping[str, Certificate]
    clients: Certificate

    def tls(self) -> ssl.SSLContext:
        """For asking the agents' HTTPS API."""
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.clients.cert, self.clients.key)
        return context


def make_keys(consul: Path, folder: Path, *, servers: Iterable[Host], clients: Iterable[Host]) -> Keys:
    """Make them in `folder` with Consul's own tools, as its documentation tells an operator to."""

    def run(place: str, *arguments: str) -> str:
        (folder / place).mkdir(parents=True, exist_ok=True)
        done = subprocess.run([consul, *arguments], cwd=folder / place, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def certificate(place: str, kind: str, *addresses: str) -> Certificate:
        names = (f"-additional-ipaddress={address}" for address in addresses)
        authority = (f"-ca={folder}/ca/consul-agent-ca.pem", f"-key={folder}/ca/consul-agent-ca-key.pem")
        run(place, "tls", "cert", "create", f"-{kind}", *authority, *names)
        return Certificate(folder / place / f"dc1-{kind}-consul-0.pem", folder / place / f"dc1-{kind}-consul-0-key.pem")

    run("ca", "tls", "ca", "create")
    run("stranger", "tls", "ca", "create")
    roles = [(host, "server") for host in servers] + [(host, "client") for host in clients]
    return Keys(
        ca=folder / "ca" / "consul-agent-ca.pem",
        stranger_ca=folder / "stranger" / "consul-agent-ca.pem",
        gossip=run("ca", "keygen"),
        hosts={host.name: certificate(host.name, role, host.address, host.control) for host, role in roles},
        clients=certificate("clients", "cli"),
    )
