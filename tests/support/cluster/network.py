"""The hosts of the cluster: network namespaces where root allows them, else addresses of the loopback.

A namespace has two cables, as a machine in a rack may have: one to the network of Consul's own traffic, one to the
network of requests and images. Each can be pulled out of its switch, and packets are then lost without a word, as
they are in a real partition. Loopback addresses have no cables: there a partition cannot be made.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Host:
    """A machine: `address` for requests, `control` for Consul's own traffic, `prefix` runs a command on it."""

    name: str
    address: str
    control: str
    prefix: tuple[str, ...] = ()


class Network(Protocol):
    """The hosts and the cables between them."""

    hosts: Sequence[Host]
    has_cables: bool

    def free_port(self) -> int:
        """A port that is free on every host."""

    def pull(self, host: Host, *cables: str) -> None:
        """Cut the host's cables, of `control` and `data`, out of their switches."""

    def plug(self, host: Host, *cables: str) -> None:
        """Put them back."""


class Loopback:
    """Hosts that are addresses 127.0.1.1, 127.0.1.2, ... of this machine."""

    has_cables = False

    def __init__(self, names: Sequence[str]) -> None:
        addresses = (f"127.0.1.{number}" for number in itertools.count(1))
        self.hosts: Sequence[Host] = [
            Host(name, address, address) for name, address in zip(names, addresses, strict=False)
        ]

    def free_port(self) -> int:
        """One that is free at all their addresses, for TCP and UDP; not of the range that clients' ports are from."""
        while True:
            port = random.randrange(15000, 32000)
            if all(_is_free(host.address, port) for host in self.hosts):
                return port

    def pull(self, host: Host, *cables: str) -> None:
        raise NotImplementedError(f"{host.name} has no cables")

    def plug(self, host: Host, *cables: str) -> None:
        raise NotImplementedError(f"{host.name} has no cables")


class Namespaces:
    """Hosts that are network namespaces, two switches (bridges in a namespace of their own) between them.

    This process is on the data network, too. Addresses are of 198.18.0.0/15, which RFC 2544 sets aside for tests.
    """

    has_cables = True

    def __init__(self, names: Sequence[str]) -> None:
        self._tag = f"p2p{os.getpid()}"
        self._switch = f"{self._tag}-switch"
        self._net = random.randrange(256)
        self._ports = itertools.count(20001)
        self.hosts: Sequence[Host] = [self._host(name, number) for number, name in enumerate(names, start=1)]

    def _host(self, name: str, number: int) -> Host:
        prefix = ("ip", "netns", "exec", f"{self._tag}-{name}")
        return Host(name, f"198.19.{self._net}.{number}", f"198.18.{self._net}.{number}", prefix)

    def lay(self) -> None:
        """Make namespaces, switches and cables."""
        spaces = [self._switch, *(f"{self._tag}-{host.name}" for host in self.hosts)]
        _ip(*(f"netns add {space}" for space in spaces))
        _ip(*(f"-n {self._switch} link add {name} up type bridge" for name in ("control", "data")))
        for host in self.hosts:
            _ip(*self._cable(host, "control", host.control), *self._cable(host, "data", host.address))
            _ip(f"-n {self._tag}-{host.name} link set lo up")
        _ip(
            f"link add {self._tag} type veth peer name tests netns {self._switch}",
            f"-n {self._switch} link set tests master data up",
            f"address add 198.19.{self._net}.254/24 dev {self._tag}",
            f"link set {self._tag} up",
        )

    def _cable(self, host: Host, cable: str, address: str) -> tuple[str, ...]:
        space = f"{self._tag}-{host.name}"
        return (
            f"link add {cable} netns {space} type veth peer name {cable[0]}-{host.name} netns {self._switch}",
            f"-n {self._switch} link set {cable[0]}-{host.name} master {cable} up",
            f"-n {space} address add {address}/24 dev {cable}",
            f"-n {space} link set {cable} up",
        )

    def take_up(self) -> None:
        """Remove what `lay` made, as far as it came; the cables go with the namespaces."""
        for space in (self._switch, *(f"{self._tag}-{host.name}" for host in self.hosts)):
            subprocess.run(["ip", "netns", "delete", space], stderr=subprocess.DEVNULL, check=False)

    def free_port(self) -> int:
        """Any: in a new namespace all are free."""
        return next(self._ports)

    def pull(self, host: Host, *cables: str) -> None:
        _ip(*(f"-n {self._switch} link set {cable[0]}-{host.name} nomaster" for cable in cables))

    def plug(self, host: Host, *cables: str) -> None:
        _ip(*(f"-n {self._switch} link set {cable[0]}-{host.name} master {cable}" for cable in cables))


@asynccontextmanager
async def open_network(*names: str) -> AsyncIterator[Network]:
    """Hosts of these names, for as long as the block runs.

    Making them takes some sixty commands, which run in a thread: together they compute for more than a callback of an
    event loop may.
    """
    if not await asyncio.to_thread(namespaces_allowed):
        yield Loopback(names)
        return
    network = Namespaces(names)
    try:
        await asyncio.to_thread(network.lay)
        yield network
    finally:
        await asyncio.to_thread(network.take_up)


def namespaces_allowed() -> bool:
    """Whether this process may make network namespaces: being root is not enough in many containers."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    probe = f"p2p{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "delete", probe], check=True)
    return made


def _ip(*commands: str) -> None:
    for line in commands:
        subprocess.run(["ip", *line.split()], capture_output=True, check=True)


def _is_free(address: str, port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True
