"""The discovery backend that settings name, Consul or ZooKeeper: opens what reads it and what keeps registrations.

kazoo is imported only where ZooKeeper is used, because it comes with an extra.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from registry.backend.registrar import Registrar
from registry.backend.registrations import Registrations
from registry.backend.source import Source
from registry.consul.agent_info import AgentInfo
from registry.consul.catalog import FOLLOW_TIMEOUT_S, Catalog
from registry.consul.registration.catalog_registrar import CatalogRegistrar
from registry.consul.registration.registrations import AgentRegistrations
from registry.consul.settings import ConsulSettings
from registry.instances.instance import RegisterAt
from registry.runtime.errors import SettingsError
from registry.zookeeper.settings import ZooKeeperSettings

BackendSettings = ConsulSettings | ZooKeeperSettings


def backend_settings(environ: Mapping[str, str], *, consul: str | None, discovery: str | None) -> BackendSettings:
    """What --discovery names, else the Consul agent of --consul and its variables. Raises SettingsError."""
    if not discovery:
        return ConsulSettings.from_environment(environ, url=consul)
    if consul:
        raise SettingsError("Give --consul or --discovery (P2P_CONSUL, P2P_DISCOVERY), not both.")
    settings = ZooKeeperSettings.from_environment(environ, url=discovery)
    if importlib.util.find_spec("kazoo") is None:
        raise SettingsError("ZooKeeper needs kazoo: install it with pip install 'p2p-serving[zookeeper]'.")
    return settings


def consul_only(settings: BackendSettings, what: str) -> ConsulSettings:
    """The settings, for something that only Consul offers. Raises SettingsError for another backend."""
    if isinstance(settings, ConsulSettings):
        return settings
    raise SettingsError(f"{what} needs Consul, and --discovery names {settings.product}: leave it out.")


def check_place(settings: BackendSettings, place: RegisterAt) -> None:
    """Raise SettingsError where the backend has no such place for registrations."""
    if place is RegisterAt.CATALOG:
        consul_only(settings, f"--register {place}")


def open_source(settings: BackendSettings, *, datacenter: str = "") -> Source:
    """A connection by which services are followed, in the datacenter named, else in the backend's own."""
    if isinstance(settings, ConsulSettings):
        there = replace(settings, datacenter=datacenter) if datacenter else settings
        return Catalog(there, timeout_s=FOLLOW_TIMEOUT_S)
    from registry.zookeeper.source import ZooKeeperSource

    return ZooKeeperSource(settings)


def open_registrar(settings: BackendSettings, place: RegisterAt) -> Registrar:
    """A connection by which a worker is registered, in Consul at this place."""
    if isinstance(settings, ConsulSettings):
        return CatalogRegistrar(settings) if place is RegisterAt.CATALOG else Catalog(settings)
    check_place(settings, place)
    from registry.zookeeper.registrar import ZooKeeperRegistrar

    return ZooKeeperRegistrar(settings)


def open_registrations(settings: BackendSettings) -> Registrations:
    """A connection by which an operator sets the maintenance of registrations."""
    if isinstance(settings, ConsulSettings):
        return AgentRegistrations(settings)
    from registry.zookeeper.registrations import ZooKeeperRegistrations

    return ZooKeeperRegistrations(settings)


def server_addresses(settings: BackendSettings) -> Sequence[tuple[str, int]]:
    """Hosts and ports that a client of the backend connects to; none where that is a socket in the file system."""
    if isinstance(settings, ZooKeeperSettings):
        parts = [urlsplit(f"//{host}") for host in settings.hosts]
    else:
        parts = [] if settings.url.startswith("unix://") else [urlsplit(settings.url)]
    return [(part.hostname or "", part.port or 0) for part in parts]


async def agent_address(settings: BackendSettings) -> str | None:
    """The address of this host's node in the backend; None where the backend knows of no nodes.

    Raises BackendUnavailable or BackendRefused where an agent has to be asked and does not say.
    """
    if not isinstance(settings, ConsulSettings):
        return None
    catalog = Catalog(settings)
    try:
        return await catalog.agent_address()
    finally:
        await catalog.close()


async def participants(settings: BackendSettings) -> tuple[int, Sequence[str]]:
    """How many members the backend shows us (0 where it has none), and the addresses of its servers.

    Raises BackendUnavailable or BackendRefused where an agent has to be asked and does not say.
    """
    if not isinstance(settings, ConsulSettings):
        return 0, sorted({host for host, _ in server_addresses(settings)})
    agent = AgentInfo(settings)
    try:
        return len(await agent.members()), await agent.servers()
    finally:
        await agent.close()
