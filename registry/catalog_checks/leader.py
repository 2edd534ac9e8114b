"""Lets one lookup process run the checks of workers in the catalogue: the one that holds a lock of Consul's.

Where no worker is registered in the catalogue, a process asks for nothing but to be told when there is one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from registry.catalog_checks.probe_sessions import ProbeSessions, probe_sessions
from registry.catalog_checks.runner import running_checks
from registry.consul.errors import TokenRefused
from registry.consul.registration.catalog_checks import CatalogChecks
from registry.consul.registration.catalog_names import LOCK_KEY
from registry.consul.registration.session_lock import SESSION_TTL_S, SessionLock
from registry.consul.settings import ConsulSettings
from registry.discovery.reconcile import next_index
from registry.runtime.errors import RegistryError
from registry.runtime.tasks.backoff import backoff_s
from registry.runtime.tasks.race import finishes_first
from registry.runtime.tasks.supervise import supervised
from registry.runtime.tls.trust import TrustFiles

logger = logging.getLogger(__name__)

RENEW_S = SESSION_TTL_S / 3
"""Two renewals may be lost."""

ASK_AGAIN_S = 20.0
"""How long a process that does not lead waits before it looks whether there are still workers to check."""


@asynccontextmanager
async def checking_catalog(consul: ConsulSettings, trust: TrustFiles) -> AsyncIterator[None]:
    """While the context is open, this process checks the workers in the catalogue whenever it holds the lock.

    `trust`: what workers' certificates are verified with, and what is shown to workers that want a client's
    certificate. Raises SettingsError where one of its files is unusable.
    """
    checks, lock = CatalogChecks(consul), SessionLock(consul, LOCK_KEY)
    try:
        async with probe_sessions(trust) as sessions:
            candidate = Candidate(checks, lock, sessions)
            async with supervised("check workers in the catalogue", candidate.run):
                yield
    finally:
        with suppress(RegistryError, TimeoutError):
            async with asyncio.timeout(RENEW_S):
                await lock.release()  # another lookup process takes over at once
        await lock.close()
        await checks.close()


class Candidate:
    """One process that wants to lead where there is something to check."""

    def __init__(self, checks: CatalogChecks, lock: SessionLock, sessions: ProbeSessions) -> None:
        self._checks = checks
        self._lock = lock
        self._sessions = sessions

    async def run(self) -> None:
        """Lead, or wait for that, until cancelled."""
        failures, chance = 0, random.Random()
        while True:
            try:
                await self._until_there_are_workers()
                if await self._lock.until_free(wait_s=ASK_AGAIN_S) and await self._lock.acquire():
                    failures = 0
                    await self._lead()
            except RegistryError as error:
                _log(error, first=failures == 0)
                with suppress(RegistryError):
                    await self._lock.release()
                await asyncio.sleep(backoff_s(failures, chance))
                failures += 1

    async def _until_there_are_workers(self) -> None:
        index, found = await self._checks.any_nodes()
        while not found:
            answered, found = await self._checks.any_nodes(index=index)
            index = next_index(index, answered)

    async def _lead(self) -> None:
        """Run the checks until the lock is lost or Consul does not answer."""
        logger.info("This lookup process checks the workers that are registered in the catalogue.")
        async with running_checks(self._checks, self._sessions) as runner:
            await finishes_first(self._until_lost(), runner.follow())
        logger.info("Another lookup process checks the workers in the catalogue.")

    async def _until_lost(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                if not await self._lock.renew():
                    return
            except TokenRefused:
                raise
            except RegistryError as error:
                # Consul ends the session if it has to. Until then every write of another process wins over ours.
                logger.debug("The lock could not be renewed: %s", error)


def _log(error: RegistryError, *, first: bool) -> None:
    if isinstance(error, TokenRefused):
        logger.log(
            logging.WARNING if first else logging.DEBUG,
            "%s To check workers that are registered in the catalogue, it needs session:write, key:write for %s, and "
            "node:write and service:write for the workers.",
            error,
            LOCK_KEY,
        )
    else:
        logger.debug("Checks of workers in the catalogue: %s", error)
