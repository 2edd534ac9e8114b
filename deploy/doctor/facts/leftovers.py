"""Looks for registrations of this project whose process is gone: asks Consul, and the addresses of this host."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence

import aiohttp

from deploy.doctor.findings.leftovers import LeftoverFacts, Registered
from registry.consul.agent_info import AgentInfo
from registry.consul.catalog import Catalog
from registry.consul.registration.catalog_checks import CatalogChecks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import TAG, Health, Instance
from worker.advertising.host_addresses import host_addresses

TIMEOUT_S = 2.0


async def find_leftovers(consul: ConsulSettings) -> LeftoverFacts:
    """The facts. Raises ConsulUnavailable, ConsulRefused."""
    agent, catalog, catalogue = AgentInfo(consul), Catalog(consul), CatalogChecks(consul)
    try:
        _, names = await catalog.services()
        answers = [await catalog.health(name) for name, tags in names.items() if TAG in tags]
        instances = [instance for answer in answers for instance in answer.instances]
        suspicious = await _suspicious(instances, ours=set(await catalogue.nodes()))
        return LeftoverFacts(suspicious, await agent.lost_nodes(), consul.url)
    finally:
        await agent.close()
        await catalog.close()
        await catalogue.close()


async def _suspicious(instances: Sequence[Instance], *, ours: Container[str]) -> Sequence[Registered]:
    """Those that fail their checks or whose process is not there; `ours` are the nodes of workers in the catalogue."""
    own = {entry.text for entry in host_addresses()}
    faults = await asyncio.gather(*(_fault(i) if i.host in own else _unasked() for i in instances))
    return [
        Registered(i.id, i.address, i.health is Health.CRITICAL, fault, i.output, i.node if i.node in ours else "")
        for i, fault in zip(instances, faults, strict=True)
        if fault or i.health is Health.CRITICAL
    ]


async def _unasked() -> str:
    return ""


async def _fault(instance: Instance) -> str:
    """What shows that the registered process is not at its address; "" where nothing does.

    Servers of `p2p exec` know no boot id: that something listens there is all that is asked of them. Whose certificate
    it shows does not matter for that.
    """
    url = f"{instance.origin}/healthz"
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, params={"boot": instance.boot}, ssl=False) as answer,
        ):
            another = answer.status == 409 and await answer.text() == "another process\n"
            return "another process has taken the port over" if another else ""
    except aiohttp.ClientConnectorError as error:
        return "nobody listens there" if isinstance(error.os_error, ConnectionRefusedError) else ""
    except (aiohttp.ClientError, TimeoutError, OSError):
        return ""
