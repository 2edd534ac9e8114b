"""The services of other datacenters: each datacenter is followed from the first request for one of its services on.

Consul's servers forward the queries over their WAN pool, so nothing but the local agent is needed. A datacenter that
cannot be reached is treated as Consul is when it is away: the last good snapshots are served, marked stale.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from registry.backend.source import Source
from registry.discovery.directory import Directory
from registry.discovery.service import FIRST_ANSWER_WAIT_S
from registry.discovery.transition import Observe, ignore
from registry.runtime.errors import RegistryError

logger = logging.getLogger(__name__)

DATACENTERS_AT_MOST = 4
"""Other datacenters followed at a time; one for which nobody has asked for longest makes room for another one."""

FOLLOWED_AT_MOST = 10
"""Services followed in each of them: with those of this datacenter they stay below Consul's limit of connections."""

NAMES_KEPT_S = 10.0
"""How long Consul's list of datacenters is used before it is asked again."""


class OtherDatacenters:
    """The directories of other datacenters, whose sources `open_source(name)` opens; `here` lists the datacenters.

    `failover` are those in which a service is looked for, in this order, when it has no healthy instance here.
    `observe` is told of the transitions of their services.
    An async context manager: following has ended on exit.
    """

    def __init__(
        self,
        here: Source,
        open_source: Callable[[str], Source],
        *,
        failover: Sequence[str] = (),
        observe: Observe = ignore,
    ) -> None:
        self.failover = tuple(failover)
        self._observe = observe
        self._here = here
        self._open_source = open_source
        self._followed: dict[str, tuple[Directory, Source]] = {}
        self._opened_s: dict[str, float] = {}
        self._opening = asyncio.Lock()
        self._names: Sequence[str] = ()
        self._names_until_s = 0.0
        self._own_name = ""
        self._said_silent: set[str] = set()

    async def __aenter__(self) -> OtherDatacenters:
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self._followed):
            await self._close(name)

    async def names(self) -> Sequence[str]:
        """The names of all datacenters, this one too. Raises RegistryError where the backend cannot say."""
        if time.monotonic() >= self._names_until_s:
            self._names = await self._here.datacenters()
            self._names_until_s = time.monotonic() + NAMES_KEPT_S
        return self._names

    async def is_here(self, name: str) -> bool:
        """Whether it is the datacenter of our own agent, as far as the token lets us know."""
        if not self._own_name:
            try:
                self._own_name = await self._here.datacenter()
            except RegistryError:
                return False
        return name == self._own_name

    def follows(self, name: str) -> bool:
        """Whether the datacenter is followed already."""
        return name in self._followed

    def silent(self, name: str) -> bool:
        """Whether the datacenter has had time to answer and has not: waiting for it would delay every request."""
        if name not in self._followed or self._followed[name][0].listed:
            return False
        silent = time.monotonic() - self._opened_s[name] > FIRST_ANSWER_WAIT_S
        if silent and name not in self._said_silent:
            self._said_silent.add(name)
            logger.warning("Datacenter %s does not answer: is that its name, and are its servers joined?", name)
        return silent

    async def directory(self, name: str) -> Directory:
        """The services of a datacenter, followed from now on."""
        async with self._opening:
            if name in self._followed:
                self._followed[name] = self._followed.pop(name)  # the one asked for last stands last
            else:
                await self._open(name)
            return self._followed[name][0]

    async def _open(self, name: str) -> None:
        others = [other for other in self._followed if other not in self.failover]
        if len(self._followed) >= DATACENTERS_AT_MOST and others:
            await self._close(others[0])
        source = self._open_source(name)
        directory = Directory(
            source, default="", datacenter=name, followed_at_most=FOLLOWED_AT_MOST, observe=self._observe
        )
        await directory.__aenter__()
        self._followed[name] = directory, source
        self._opened_s[name] = time.monotonic()

    async def _close(self, name: str) -> None:
        directory, source = self._followed.pop(name)
        await directory.__aexit__(None, None, None)
        await source.close()
