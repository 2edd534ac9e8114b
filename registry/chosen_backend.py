"""The discovery backend that settings name, Consul or ZooKeeper: opens what reads it and what keeps registrations."""

from __future__ import annotations

from dataclasses import replace

from registry.backend.registrar import Registrar
from registry.backend.registrations import Registrations
from registry.backend.source import Source
from registry.consul.catalog import FOLLOW_TIMEOUT_S, Catalog
from registry.consul.registration.catalog_registrar import CatalogRegistrar
from registry.consul.registration.registrations import AgentRegistrations
from registry.consul.settings import ConsulSettings
from registry.instances.instance import RegisterAt


def open_source(settings: ConsulSettings, *, datacenter: str = "") -> Source:
    """A connection by which services are followed, in the datacenter named, else in the backend's own."""
    if datacenter:
        settings = replace(settings, datacenter=datacenter)
    return Catalog(settings, timeout_s=FOLLOW_TIMEOUT_S)


def open_registrar(settings: ConsulSettings, place: RegisterAt) -> Registrar:
    """A connection by which a worker is registered at this place."""
    return CatalogRegistrar(settings) if place is RegisterAt.CATALOG else Catalog(settings)


def open_registrations(settings: ConsulSettings) -> Registrations:
    """A connection by which an operator sets the maintenance of registrations."""
    return AgentRegistrations(settings)
