"""Runs the checks of the roles that are examined, in the order in which one would mend what they find."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from deploy.doctor.facts import address as address_of
from deploy.doctor.facts.agent import ask_agent
from deploy.doctor.facts.catalogue import catalogue_facts
from deploy.doctor.facts.certificates import tls_facts
from deploy.doctor.facts.clock import compare_clocks
from deploy.doctor.facts.disk import disk_facts
from deploy.doctor.facts.leftovers import find_leftovers
from deploy.doctor.facts.lookup import ask_lookups
from deploy.doctor.facts.lookup_client import LookupClient
from deploy.doctor.facts.parts import parts_facts
from deploy.doctor.facts.ports import try_ports
from deploy.doctor.facts.rights import ask_rights
from deploy.doctor.facts.ticket_keys import ticket_key_facts
from deploy.doctor.facts.token_file import token_file_facts
from deploy.doctor.finding import Finding, error, warning
from deploy.doctor.findings import (
    address,
    agent,
    catalogue,
    certificates,
    clock,
    disk,
    leftovers,
    lookup,
    parts,
    ports,
    rights,
    ticket_keys,
    token_file,
)
from deploy.doctor.findings.catalogue import CatalogueFacts
from deploy.doctor.report import Group
from deploy.doctor.role import Role
from deploy.doctor.settings import DoctorSettings
from registry.instances.instance import RegisterAt
from registry.runtime.errors import RegistryError, SettingsError
from registry.runtime.tls.trust import TrustFiles
from worker.advertising.choice import WILDCARDS
from worker.advertising.loopback import is_loopback_url

logger = logging.getLogger(__name__)


async def examine(settings: DoctorSettings) -> Sequence[Group]:
    """All groups of findings; one that does not apply is left out."""
    async with _lookup_client(settings) as client:
        examination = _Examination(settings, client)
        groups = [
            Group("parts", await _guarded(examination.parts())),
            Group("disk", await _guarded(examination.disk())),
            Group("token file", await _guarded(examination.token_file())),
            Group("consul", await _guarded(examination.agent())),
            Group("rights", await _guarded(examination.rights())),
            Group("clock", await _guarded(examination.clock())),
            Group("certificates", await _guarded(examination.certificates())),
            Group("ticket keys", await _guarded(examination.ticket_keys())),
            Group("ports", await _guarded(examination.ports())),
            Group("lookup", await _guarded(examination.lookup())),
            Group("address", await _guarded(examination.address())),
            Group("catalogue", await _guarded(examination.catalogue())),
            Group("leftovers", await _guarded(examination.leftovers())),
        ]
    return [group for group in groups if group.findings]


@asynccontextmanager
async def _lookup_client(settings: DoctorSettings) -> AsyncIterator[LookupClient]:
    """Requests to the lookup services; files that cannot be used are found by the check of certificates."""
    try:
        client = LookupClient(settings.lookups, settings.trust, settings.token)
    except SettingsError:
        client = LookupClient(settings.lookups, TrustFiles(), settings.token)
    try:
        yield client
    finally:
        await client.close()


async def _guarded(check: Awaitable[list[Finding]]) -> list[Finding]:
    """The findings; a check that fails itself does not keep the others from being made."""
    try:
        return await check
    except RegistryError as failure:
        return [warning(f"This could not be examined: {failure}", "Mend what stands above, and run p2p doctor again.")]
    except Exception as failure:
        logger.exception("A check failed.")
        return [error(f"This check itself failed: {failure!r}.", "Please report it, with the traceback.")]


class _Examination:
    """The checks, with what one of them finds out for another: whether Consul answers, and who is in the catalogue."""

    def __init__(self, settings: DoctorSettings, client: LookupClient) -> None:
        self._settings = settings
        self._client = client
        self._consul_answers = False
        self._in_catalogue: CatalogueFacts | None = None

    def _is(self, *roles: Role) -> bool:
        return any(role in self._settings.roles for role in roles)

    @property
    def _asks_consul(self) -> bool:
        """Whether any part here speaks with Consul: clients do only where they ask no lookup service."""
        return self._is(Role.WORKER, Role.LOOKUP, Role.OPERATOR) or not self._settings.lookups

    async def parts(self) -> list[Finding]:
        asked = self._settings.asked_role is Role.WORKER
        return parts.findings(await asyncio.to_thread(parts_facts), worker=self._is(Role.WORKER), asked=asked)

    async def disk(self) -> list[Finding]:
        return disk.findings(disk_facts(self._settings.cache)) if self._is(Role.WORKER) else []

    async def token_file(self) -> list[Finding]:
        path = self._settings.tokens
        return [] if path is None else token_file.findings(token_file_facts(path))

    async def agent(self) -> list[Finding]:
        if not self._asks_consul:
            return []
        facts = await ask_agent(self._settings.consul)
        self._consul_answers = not facts.trouble
        return agent.findings(facts)

    async def rights(self) -> list[Finding]:
        settings = self._settings
        if not self._consul_answers:
            return []
        needed = rights.needs(
            rights.Extent(
                settings.roles,
                settings.service,
                asks_agent=settings.advertise is None
                and settings.host in WILDCARDS
                and is_loopback_url(settings.consul.url),
                checks_tickets=settings.require_ticket,
                signs_tickets=settings.ticket_keys is not None,
                without_lookup=not settings.lookups,
                in_catalogue=settings.register is RegisterAt.CATALOG,
                checked_services=await self._checked_services(),
            )
        )
        if not needed:
            return []
        facts = await ask_rights(settings.consul, [need.right for need in needed])
        return rights.findings(facts, needed, asked=settings.asked_role is not None)

    async def catalogue(self) -> list[Finding]:
        if not self._consul_answers or not self._is(Role.WORKER, Role.LOOKUP, Role.OPERATOR):
            return []
        asked = self._settings.asked_role is Role.LOOKUP
        return catalogue.findings(await self._catalogue_facts(), url=self._settings.consul.url, lookup=asked)

    async def _checked_services(self) -> Sequence[str]:
        """The services that a lookup service here would check; none where the token may not ask for them."""
        if not self._is(Role.LOOKUP):
            return ()
        try:
            return (await self._catalogue_facts()).services
        except RegistryError:
            return ()

    async def _catalogue_facts(self) -> CatalogueFacts:
        if self._in_catalogue is None:
            self._in_catalogue = await catalogue_facts(self._settings.consul)
        return self._in_catalogue

    async def clock(self) -> list[Finding]:
        consul = self._settings.consul if self._consul_answers else None
        return clock.findings(await compare_clocks(consul, self._client))

    async def certificates(self) -> list[Finding]:
        settings = self._settings
        consul = settings.consul if self._asks_consul else None
        host = settings.host
        if settings.tls is not None and self._is(Role.WORKER):
            host = (await address_of.advertised_host(settings))[0] or settings.host
        facts = await asyncio.to_thread(tls_facts, settings.tls, settings.trust, consul, host=host)
        return certificates.findings(facts, now=datetime.now(UTC))

    async def ticket_keys(self) -> list[Finding]:
        settings = self._settings
        if settings.ticket_keys is None and not settings.require_ticket:
            return []
        consul = settings.consul if self._consul_answers else None
        facts = await ticket_key_facts(settings.ticket_keys, consul)
        return ticket_keys.findings(facts, checks=settings.require_ticket)

    async def ports(self) -> list[Finding]:
        return ports.findings(await try_ports(self._settings))

    async def lookup(self) -> list[Finding]:
        facts = await ask_lookups(self._client, self._settings.service)
        return lookup.findings(facts, needed=self._settings.asked_role in (Role.CLIENT, Role.LOOKUP))

    async def address(self) -> list[Finding]:
        if not self._is(Role.WORKER, Role.OPERATOR):
            return []
        facts = await address_of.address_facts(self._settings, self._client)
        return address.findings(facts, worker=self._is(Role.WORKER))

    async def leftovers(self) -> list[Finding]:
        if not self._consul_answers or not self._is(Role.WORKER, Role.OPERATOR):
            return []
        return leftovers.findings(await find_leftovers(self._settings.consul))
