"""Asks Consul for the workers in the catalogue, and for the lock of the lookup service that checks them."""

from __future__ import annotations

from deploy.doctor.findings.catalogue import CatalogueFacts
from registry.consul.errors import TokenRefused
from registry.consul.registration.catalog_checks import CatalogChecks
from registry.consul.registration.catalog_names import LOCK_KEY
from registry.consul.registration.session_lock import SessionLock
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Health


async def catalogue_facts(consul: ConsulSettings) -> CatalogueFacts:
    """What the token may see. Raises ConsulUnavailable, ConsulRefused."""
    catalogue = CatalogChecks(consul)
    try:
        nodes = await catalogue.nodes()
        _, checks = await catalogue.all()
    finally:
        await catalogue.close()
    checked = {check.node for check in checks}
    return CatalogueFacts(
        workers=len(checks),
        services=sorted({check.service for check in checks}),
        unchecked=sorted(set(nodes) - checked),
        failing=sorted(check.instance_id for check in checks if check.drained and check.status is Health.CRITICAL),
        checker=await _checker(consul) if checks else None,
    )


async def _checker(consul: ConsulSettings) -> str | None:
    lock = SessionLock(consul, LOCK_KEY)
    try:
        return await lock.holders_node()
    except TokenRefused:
        return None
    finally:
        await lock.close()
