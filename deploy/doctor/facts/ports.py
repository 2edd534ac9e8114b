"""Tries the ports that parts of ours are to listen on; where one is taken, finds out by whom."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp

from deploy.doctor.findings.ports import PortFacts
from deploy.doctor.role import Role
from deploy.doctor.settings import DoctorSettings
from registry.runtime.address import host_port
from registry.runtime.errors import SettingsError
from registry.runtime.listen import bind
from worker.advertising.choice import WILDCARDS
from worker.advertising.host_addresses import host_addresses
from worker.advertising.loopback import is_loopback
from worker.exec.port_owner import older_owner

_OURS = frozenset({"alive\n", "ok\n", "busy\n", "loading\n"})
"""What /healthz of a lookup service or a worker says."""


async def try_ports(settings: DoctorSettings) -> Sequence[PortFacts]:
    """The worker's port where it is fixed, and that of a lookup service which is to be on this host."""
    wanted = []
    if Role.LOOKUP in settings.roles:
        wanted += [_lookups_port(url) for url in settings.lookups if _is_here(url)]
    if Role.WORKER in settings.roles and settings.port:
        wanted.append(PortFacts("the worker", "--host and --port", settings.host, settings.port))
    return [await _tried(port) for port in wanted]


def _lookups_port(url: str) -> PortFacts:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    return PortFacts("the lookup service", "--host and --port of p2p registry", host, port)


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return is_loopback(host) or any(host == entry.text for entry in host_addresses())


async def _tried(port: PortFacts) -> PortFacts:
    try:
        bind(port.host, port.port).close()
    except SettingsError as error:
        owner = await asyncio.to_thread(older_owner, port.port, child=os.getpid())
        shown = f"process {owner.pid} ({owner.name})" if owner else ""
        return replace(port, fault=str(error), ours=await _is_ours(port), owner=shown)
    return port


async def _is_ours(port: PortFacts) -> bool:
    """Whether a lookup service or a worker answers there; whose certificate it shows does not matter for that."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}[port.host] if port.host in WILDCARDS else port.host
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        for scheme in ("http", "https"):
            try:
                async with session.get(f"{scheme}://{host_port(host, port.port)}/healthz", ssl=False) as answer:
                    return await answer.text() in _OURS
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                continue
    return False
