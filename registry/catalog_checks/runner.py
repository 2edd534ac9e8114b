"""Runs the checks of all workers in the catalogue: each has a task that probes, judges and writes what has changed."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial

from registry.agent.checks.definitions import HttpProbe
from registry.agent.checks.probes import Outcome, run_probe
from registry.agent.state.records import Status
from registry.backend.entry import CONNECTION_REFUSED
from registry.catalog_checks.probe_sessions import ProbeSessions
from registry.catalog_checks.verdict import Finding, Standing, is_to_be_removed, next_standing, status_of
from registry.consul.registration.catalog_checks import CatalogCheck, CatalogChecks
from registry.discovery.pacing import TokenBucket
from registry.discovery.reconcile import CHECK_INTERVAL_S, next_index
from registry.instances.instance import Health
from registry.runtime.errors import RegistryError
from registry.runtime.tasks.supervise import cancel_all, start_supervised

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 1.0

READS_A_SECOND = 1.0
"""Every status that is written ends the blocking query for all checks; they are read again no more often."""

PROBES_AT_ONCE = 64
"""A bound on the connections of probes, for which a process keeps files aside; further probes wait."""


class CheckRunner:
    """The checks of all workers in the catalogue, run from here until the context ends."""

    def __init__(self, checks: CatalogChecks, sessions: ProbeSessions) -> None:
        self._catalog = checks
        self._sessions = sessions
        self._checks: dict[str, CatalogCheck] = {}
        self._standings: dict[str, Standing] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(PROBES_AT_ONCE)

    async def follow(self) -> None:
        """Follow which checks there are until cancelled; raises RegistryError where Consul does not answer."""
        index = 0
        bucket = TokenBucket(rate_hz=READS_A_SECOND, burst=2.0, now_s=time.monotonic())
        while True:
            answered, checks = await self._catalog.all(index=index)
            index = next_index(index, answered)
            await self._take(checks)
            await asyncio.sleep(bucket.delay_s(time.monotonic()))

    async def close(self) -> None:
        """End all checks."""
        await cancel_all(*self._tasks.values())

    async def _take(self, checks: Iterable[CatalogCheck]) -> None:
        self._checks = {f"{check.node}/{check.id}": check for check in checks}
        gone = [key for key in self._tasks if key not in self._checks]
        await cancel_all(*(self._tasks.pop(key) for key in gone))
        for key in gone:
            self._standings.pop(key, None)
        for key in self._checks.keys() - self._tasks.keys():
            self._tasks[key] = start_supervised(f"check {key}", partial(self._keep_checking, key))

    async def _keep_checking(self, key: str) -> None:
        await asyncio.sleep(random.uniform(0.0, CHECK_INTERVAL_S))  # not all at the same moment
        while True:
            check = self._checks[key]
            async with self._places:
                outcome = await run_probe(HttpProbe(check.url, timeout_s=PROBE_TIMEOUT_S), self._sessions.current())
            if self._checks.get(key) == check:  # else what was checked may be another process by now
                await self._judge(key, check, outcome)
            await asyncio.sleep(CHECK_INTERVAL_S)

    async def _judge(self, key: str, check: CatalogCheck, outcome: Outcome) -> None:
        now_s, output = time.monotonic(), outcome[1]
        standing = next_standing(self._standings.get(key, Standing()), finding_of(outcome), now_s=now_s)
        self._standings[key] = standing
        status = status_of(standing, check.status)
        try:
            most_unreached = self._most_unreached()
            if is_to_be_removed(standing, drained=check.drained, most_unreached=most_unreached, now_s=now_s):
                if await self._catalog.remove(check):
                    logger.warning("Removed %s, which has failed its checks for too long: %s", check.node, output)
                return
            if status is check.status and not _says_otherwise(check, status, output):
                return
            if await self._catalog.write(check, status, output):
                logger.info("%s is %s: %s", check.node, status, output)
        except RegistryError as error:
            logger.warning("What the check of %s found could not be written: %s", check.node, error)

    def _most_unreached(self) -> bool:
        unreached = sum(standing.no_answer for standing in self._standings.values())
        return unreached * 2 > len(self._standings)


def finding_of(outcome: Outcome) -> Finding:
    """What a probe's status and output mean."""
    status, output = outcome
    if status is Status.PASSING:
        return Finding.PASSING
    if status is Status.WARNING:
        return Finding.WARNING
    if output.startswith("HTTP "):
        return Finding.ANSWERED
    return Finding.REFUSED if CONNECTION_REFUSED in output else Finding.NO_ANSWER


def _says_otherwise(check: CatalogCheck, status: Health, output: str) -> bool:
    """Whether lookups must learn that a critical worker refuses connections, or no longer does."""
    refused = CONNECTION_REFUSED
    return status is Health.CRITICAL and (refused in output) != (refused in check.output)


@asynccontextmanager
async def running_checks(checks: CatalogChecks, sessions: ProbeSessions) -> AsyncIterator[CheckRunner]:
    """A runner whose checks end with the context."""
    runner = CheckRunner(checks, sessions)
    try:
        yield runner
    finally:
        await runner.close()
