"""Finds out at which address what is registered from this host is advertised: asks the host and the agent."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from registry.consul.catalog import Catalog
from registry.consul.errors import ConsulRefused
from registry.consul.settings import ConsulSettings
from registry.runtime.errors import SettingsError
from registry.runtime.names import is_ip_address
from worker.advertising.advertise_flag import Advertise, Source
from worker.advertising.choice import WILDCARDS, Agent, chosen_host, default_host
from worker.advertising.host_addresses import address_towards, host_addresses, outward_addresses
from worker.advertising.loopback import is_loopback_url

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Advertised:
    """The host that clients reach, and the first model's port where that is not the one that is listened on."""

    host: str
    first_port: int | None = None

    def port(self, number: int, listening: int) -> int:
        """The port of model `number`, from 0, which listens on the port `listening`."""
        return listening if self.first_port is None else self.first_port + number


async def find_advertised(advertise: Advertise | None, *, host: str, port: int, consul: ConsulSettings) -> Advertised:
    """The address for a server that listens on `host` and `port`.

    Raises SettingsError where the flags cannot be followed here; ConsulUnavailable or ConsulRefused where the agent
    has to be asked and does not say.
    """
    if advertise is None:
        return Advertised(host if host not in WILDCARDS else await _default(host, consul))
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


async def _default(listening: str, consul: ConsulSettings) -> str:
    """The address for a server that listens on all addresses."""
    towards, here = await asyncio.to_thread(_way_to, consul)
    own = host_addresses()
    if not here:
        return default_host(listening, Agent(towards, towards, here=False), own)
    address = await _agent_address(consul)
    return default_host(listening, Agent(address, address_towards(address) or address, here=True), own)


def _way_to(consul: ConsulSettings) -> tuple[str, bool]:
    """From which address this host sends to the agent, and whether the agent is on this host."""
    if is_loopback_url(consul.url):
        return "127.0.0.1", True
    parts = urlsplit(consul.url)
    host = parts.hostname or ""
    try:
        towards = address_towards(host, parts.port or 0)
        itself = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise SettingsError(f"The host of Consul at {consul.url} cannot be found: {error.strerror}.") from error
    if towards is None:
        raise SettingsError(
            f"There is no way to Consul at {consul.url} from this host: name an address in --advertise."
        )
    return towards, towards in itself


async def _agent_address(consul: ConsulSettings) -> str:
    catalog = Catalog(consul)
    try:
        return await catalog.agent_address()
    except ConsulRefused as error:
        raise ConsulRefused(f"{error} That is agent:read here; with --advertise HOST it is not asked.") from error
    finally:
        await catalog.close()
