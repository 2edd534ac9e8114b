"""Decides at which address a worker is advertised, from its flags, this host's addresses and the agent's. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address

from registry.runtime.errors import SettingsError
from worker.advertising.advertise_flag import Advertise, Source

WILDCARDS = frozenset({"0.0.0.0", "::", ""})
"""What --host is where a server listens on all addresses."""


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of this host with its network, and the name of its interface."""

    interface: str
    address: IPv4Interface | IPv6Interface

    @property
    def text(self) -> str:
        """The address alone."""
        return str(self.address.ip)


@dataclass(frozen=True, slots=True)
class Agent:
    """What is known of the Consul agent: its own address, and from which address this host sends to it.

    `here`: it runs on this host, as far as the way to it tells.
    """

    address: str
    towards: str
    here: bool


def chosen_host(advertise: Advertise, own: Sequence[InterfaceAddress], outward: Sequence[str]) -> str:
    """The host that the flag means, where `outward` are this host's addresses on its default routes.

    Raises SettingsError where this host has no such address.
    """
    if advertise.source is Source.WRITTEN:
        named = _first(entry for entry in own if entry.interface == advertise.name)
        return advertise.name if named is None else named
    if advertise.source is Source.INTERFACE:
        found = _first(entry for entry in own if entry.interface == advertise.name)
        missing = f"{advertise.name} is not an interface of this host with an address"
    else:
        public = advertise.source is Source.PUBLIC
        found = _first((entry for entry in own if _is_global(entry) is public), preferred=outward)
        missing = f"this host has no {'public' if public else 'private'} address"
    if found is None:
        there = ", ".join(f"{entry.interface} {entry.text}" for entry in own)
        raise SettingsError(f"--advertise: {missing} (it has {there or 'none'}): name one with --advertise.")
    return found


def default_host(listening: str, agent: Agent, own: Sequence[InterfaceAddress]) -> str:
    """Where --advertise is not given and all addresses are listened on.

    An agent on this host knows at which address the cluster reaches the host, behind 1:1 NAT, too. Where the agent is
    another host or in a container beside this one, the address is the one from which this host sends to the agent.
    Raises SettingsError where the server does not listen on addresses of that kind.
    """
    neighbour = _is_neighbour(agent.address, own)
    host = agent.address if agent.here and not neighbour else agent.towards
    if listening == "0.0.0.0" and ip_address(host).version == 6:
        raise SettingsError(
            f"--host 0.0.0.0 listens on IPv4 alone, but this host would be advertised as {host}: give --host ::, or "
            "name an address with --advertise."
        )
    return host


def _is_neighbour(address: str, own: Sequence[InterfaceAddress]) -> bool:
    """Whether it is of another machine or container on a network of this host."""
    ip = ip_address(address)
    if ip.is_loopback or any(ip == entry.address.ip for entry in own):
        return False
    return any(ip in entry.address.network for entry in own)


def _is_global(entry: InterfaceAddress) -> bool | None:
    """Whether an address is public; None for one that no other host, or only the same link, reaches."""
    address = entry.address.ip
    return None if address.is_loopback or address.is_link_local else address.is_global


def _first(entries: Iterable[InterfaceAddress], *, preferred: Sequence[str] = ()) -> str | None:
    """The best of the addresses: of the preferred ones, of IPv4, in the system's order; none of a link alone."""
    usable = [entry for entry in entries if not (entry.address.version == 6 and entry.address.ip.is_link_local)]
    ordered = sorted(usable, key=lambda entry: (entry.text not in preferred, entry.address.version))
    return ordered[0].text if ordered else None
