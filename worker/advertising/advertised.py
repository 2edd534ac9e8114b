"""Finds out at which address what is registered from this host is advertised: asks the host and the agent."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass

from registry.backend.errors import BackendRefused
from registry.chosen_backend import BackendSettings, agent_address, server_addresses
from registry.runtime.errors import SettingsError
from registry.runtime.names import is_ip_address
from worker.advertising.advertise_flag import Advertise, Source
from worker.advertising.choice import WILDCARDS, Agent, chosen_host, default_host
from worker.advertising.host_addresses import address_towards, host_addresses, outward_addresses
from worker.advertising.loopback import is_loopback, is_loopback_url

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Advertised:
    """The host that clients reach, and the first model's port where that is not the one that is listened on."""

    host: str
    first_port: int | None = None

    def port(self, number: int, listening: int) -> int:
        """The port of model `number`, from 0, which listens on the port `listening`."""
        return listening if self.first_port is None else self.first_port + number


async def find_advertised(advertise: Advertise | None, *, host: str, port: int, backend: BackendSettings) -> Advertised:
    """The address for a server that listens on `host` and `port`.

    Raises SettingsError where the flags cannot be followed here; BackendUnavailable or BackendRefused where an agent
    has to be asked and does not say.
    """
    if advertise is None:
        return Advertised(host if host not in WILDCARDS else await _default(host, backend))
    if advertise.port is not None and not port:
        raise SettingsError(
            f"--advertise names port {advertise.port}, so what leads from there to this server must know its port: "
            "give that with --port."
        )
    return Advertised(await asyncio.to_thread(_chosen, advertise), advertise.port)


def _chosen(advertise: Advertise) -> str:
    own = host_addresses()
    host = chosen_host(advertise, own, outward_addresses())
    if advertise.source is Source.WRITTEN and host == advertise.name and "." not in host and not is_ip_address(host):
        _warn_if_unknown(host, ", ".join(sorted({entry.interface for entry in own})))
    return host


def _warn_if_unknown(host: str, interfaces: str) -> None:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        logger.warning(
            "--advertise %s: it is no interface of this host (%s), and no host of that name can be found from here. "
            "It is registered as a host's name.",
            host,
            interfaces,
        )


async def _default(listening: str, backend: BackendSettings) -> str:
    """The address for a server that listens on all addresses."""
    towards, here = await asyncio.to_thread(_way_to, backend)
    own = host_addresses()
    address = await _agent_address(backend) if here else None
    if address is None:
        return default_host(listening, Agent(towards, towards, here=False), own)
    return default_host(listening, Agent(address, address_towards(address) or address, here=True), own)


def _way_to(backend: BackendSettings) -> tuple[str, bool]:
    """From which address this host sends to the backend, and whether that answers on this host."""
    servers = server_addresses(backend)
    if is_loopback_url(backend.url):
        return "127.0.0.1", True
    host, port = next(server for server in servers if not is_loopback(server[0]))
    name = f"{backend.product} at {backend.url}"
    try:
        towards = address_towards(host, port)
        itself = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise SettingsError(f"The host of {name} cannot be found: {error.strerror}.") from error
    if towards is None:
        raise SettingsError(f"There is no way to {name} from this host: name an address in --advertise.")
    return towards, towards in itself


async def _agent_address(backend: BackendSettings) -> str | None:
    try:
        return await agent_address(backend)
    except BackendRefused as error:
        raise BackendRefused(f"{error} That is agent:read here; with --advertise HOST it is not asked.") from error
