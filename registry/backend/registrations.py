"""Which registrations there are, and the calls that set their maintenance: what an operator's commands need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from registry.instances.instance import RegisterAt
from registry.runtime.address import host_port

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True)
class Registered:
    """One registration: its id and address, and the node that it is on, with the node's address.

    `place`: whether the node's agent keeps it, or Consul's catalogue itself.
    """

    id: str
    service: str
    host: str
    port: int
    node: str = ""
    node_address: str = ""
    place: RegisterAt = RegisterAt.AGENT

    @property
    def address(self) -> str:
        """`host:port`."""
        return host_port(self.host, self.port)


class Registrations(Protocol):
    """Reads and changes registrations. Every method raises BackendUnavailable or BackendRefused."""

    async def changeable(self) -> Sequence[Registered]:
        """The registrations whose maintenance can be set from here."""

    async def known(self) -> Sequence[Registered]:
        """The registrations of this project's services, from wherever they can be changed."""

    async def maintenance(self, registered: Registered, *, enable: bool, reason: str = "") -> None:
        """Put a registration into or out of maintenance. Raises Forgotten where it is gone."""

    async def close(self) -> None:
        """Close the connections."""


def named(registered: Iterable[Registered], text: str) -> list[Registered]:
    """The registrations that an operator means by an id or an address; localhost means every loopback address."""
    found = list(registered)
    return [each for each in found if each.id == text] or [each for each in found if text in _spellings(each)]


def _spellings(registered: Registered) -> set[str]:
    hosts = _LOOPBACK if registered.host in _LOOPBACK else {registered.host}
    return {host_port(host, registered.port) for host in hosts}
