"""Finds out where a worker here is advertised, and asks the lookup service which registered addresses it reaches."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.doctor.facts.lookup_client import LookupClient, LookupFailed
from deploy.doctor.findings.address import AddressFacts, RegisteredAddress
from deploy.doctor.settings import DoctorSettings
from registry.backend.errors import BackendRefused, BackendUnavailable
from registry.runtime.errors import RegistryError
from worker.advertising.advertised import find_advertised
from worker.advertising.host_addresses import host_addresses
from worker.advertising.refuse_loopback import refuse_loopback


async def address_facts(settings: DoctorSettings, lookup: LookupClient) -> AddressFacts:
    """The facts; where Consul does not answer only those that need no Consul."""
    host, trouble = await advertised_host(settings)
    own = host_addresses()
    here = {host, *(entry.text for entry in own)} - {""}
    registered, asked = await _registered(lookup, here)
    return AddressFacts(host, trouble, await _refusal(host, settings), own, registered, asked)


async def advertised_host(settings: DoctorSettings) -> tuple[str, str]:
    """The host at which a worker here is advertised, and the sentence why there is none."""
    try:
        found = await find_advertised(
            settings.advertise, host=settings.host, port=settings.port, backend=settings.consul
        )
    except RegistryError as error:
        return "", str(error)
    return found.host, ""


async def _refusal(host: str, settings: DoctorSettings) -> str:
    if not host or settings.allow_loopback:
        return ""
    try:
        await refuse_loopback(host, settings.consul)
    except BackendRefused as error:
        return str(error)
    except BackendUnavailable:
        return ""
    return ""


async def _registered(lookup: LookupClient, here: set[str]) -> tuple[Sequence[RegisteredAddress], bool]:
    """What the first lookup service that answers says, and whether one did."""
    for url in lookup.urls:
        try:
            names = [str(entry["name"]) for entry in await lookup.json(url, "/services")]
            answers = [await lookup.json(url, f"/instances/{name}?probe=1") for name in names]
        except (LookupFailed, LookupError, TypeError):
            continue
        entries = [entry for answer in answers for entry in answer["instances"]]
        return [
            RegisteredAddress(entry["id"], entry["address"], entry["host"] in here, entry.get("unreachable"))
            for entry in entries
        ], True
    return [], False
