"""Fetches a worker's health path, as Consul's agent would: a worker in ZooKeeper is checked from its own process."""

from __future__ import annotations

import errno

import aiohttp

from registry.backend.checks import Checks
from registry.backend.entry import CONNECTION_REFUSED
from registry.instances.instance import Health
from registry.zookeeper.node import Check


async def fetch(session: aiohttp.ClientSession, url: str, *, timeout_s: float) -> tuple[Health, str]:
    """What the health path says: 2xx is passing, 429 a warning, all else critical. The certificate is not looked at."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with session.get(url, timeout=timeout, ssl=False) as answer:
            outcome = f"HTTP GET {url}: {answer.status} {answer.reason}"
            if answer.status == 429:
                return Health.WARNING, outcome
            return (Health.PASSING if 200 <= answer.status < 300 else Health.CRITICAL), outcome
    except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: redirected to what is no URL
        refused = isinstance(error, OSError) and error.errno == errno.ECONNREFUSED
        return Health.CRITICAL, f"HTTP GET {url}: {CONNECTION_REFUSED if refused else error or 'no answer in time'}"


class HealthCheck:
    """The check of one health path; it takes `checks.failures_before_critical` failures in a row to be critical."""

    def __init__(self, url: str, checks: Checks) -> None:
        self._url = url
        self._checks = checks
        self._failures = 0

    async def next(self, known: Check, session: aiohttp.ClientSession) -> Check:
        """What `known` becomes by one more request."""
        status, output = await fetch(session, self._url, timeout_s=self._checks.timeout_s)
        if status is not Health.CRITICAL:
            self._failures = 0
        else:
            self._failures += 1
            if self._failures < self._checks.failures_before_critical:
                return known
        return Check(known.id, known.name, status, output if status is not Health.PASSING else "")
