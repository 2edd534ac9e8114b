"""Which services are followed, and each one's rotations: where beliefs become answers.

The default service and every service with our tag are followed from the start; any other name that Consul
knows is followed from its first request on. One watch a service and process, however many clients ask.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.consul.catalog import TAG, Catalog
from registry.consul.instance import Instance
from registry.discovery.reconcile import Belief
from registry.discovery.rotation import Rotation
from registry.discovery.state_file import Saved, as_saved, keep_saved, load
from registry.discovery.watch import CHANGES_AT_ONCE, Follower, Hidden, TokenBucket, backoff_s
from registry.runtime.errors import RegistryError

logger = logging.getLogger(__name__)

VIEWS_AT_MOST = 256
"""Rotations kept a service; a filter that nobody used for longest is forgotten, and starts anew."""

FOLLOWED_AT_MOST = 1000

LISTS_A_SECOND = 1.0
"""Consul goes through all workers to list the services, and does so at every registration: under churn it is asked
for the list no more often. A new service is known within a second, one that is followed is not concerned."""

ITSELF = "consul"
"""The service that Consul's servers are."""

SERVICES_UNREADABLE = "Consul may be hiding them, the token in CONSUL_HTTP_TOKEN needs service:read and node:read"
NODES_UNREADABLE = "Consul lists it and shows none, the token in CONSUL_HTTP_TOKEN needs node:read, too"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asks of a worker besides its service: version, tags, hosts. Empty means any."""

    version: str = ""
    tags: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    def fits(self, instance: Instance) -> bool:
        """Whether the instance has all that is wanted."""
        return (
            (not self.version or self.version in instance.versions)
            and self.tags.issubset(instance.tags)
            and (not self.hosts or instance.host in self.hosts)
        )


ANY = Wanted()


class Service:
    """One followed service: its belief, and a rotation for each kind of request.

    `revision` changes with every change of the set; `wait_for_change` is the long poll on it. `version` changes
    with it, and when a rotation was dropped: who kept one must fetch it anew.
    """

    def __init__(
        self,
        name: str,
        catalog: Catalog,
        *,
        changed: Callable[[], None],
        hidden: Hidden,
        saved: Saved | None = None,
    ) -> None:
        self.name = name
        self.follower = Follower(catalog, name, self._changed, saved=saved, hidden=hidden)
        self._tell = changed
        # Starting from the clock keeps revisions of a restarted process apart from those of the last one.
        self.revision = int(time.time() * 1000)
        self.version = 0
        self._change = asyncio.Event()
        self._views: OrderedDict[Wanted, Rotation] = OrderedDict()
        self._task = asyncio.create_task(self.follower.run(), name=f"follow {name}")

    @property
    def belief(self) -> Belief:
        """What is held to be true of the service now."""
        return self.follower.belief

    def rotation(self, wanted: Wanted = ANY) -> Rotation:
        """The rotation over those that fit; it goes on where it was."""
        view = self._views.get(wanted)
        if view is None:
            view = Rotation(i for i in self.belief.eligible if wanted.fits(i))
            if view:  # a wish that nobody fits must not push another out
                self._views[wanted] = view
                if len(self._views) > VIEWS_AT_MOST:
                    self._views.popitem(last=False)
                    self.version += 1
        else:
            self._views.move_to_end(wanted)
        return view

    async def wait_for_change(self, revision: int, *, timeout_s: float) -> None:
        """Return when the set is no longer that of `revision`, or after `timeout_s`."""
        if revision != self.revision:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._change.wait()
        except TimeoutError:
            return

    async def known(self, *, timeout_s: float) -> bool:
        """Wait for the first answer of Consul; whether there was one."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.follower.first.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Stop following."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _changed(self, belief: Belief) -> None:
        eligible = belief.eligible
        for wanted, view in self._views.items():
            view.replace(i for i in eligible if wanted.fits(i))
        self.revision += 1
        self.version += 1
        changed, self._change = self._change, asyncio.Event()
        changed.set()
        self._tell()


class Directory:
    """All followed services, and the names of all others.

    An async context manager: following begins on entry and has ended on exit. `state` is the file that keeps
    the last good sets over restarts, None to keep nothing.
    """

    def __init__(self, catalog: Catalog, *, default: str, state: Path | None = None) -> None:
        self.default = default
        self._catalog = catalog
        self._state = state
        self._saved: Mapping[str, Saved] = {}
        self._changed = asyncio.Event()
        self._services: dict[str, Service] = {}
        self._names: Mapping[str, frozenset[str]] = {}
        self._listed = False
        self._showed_itself = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Directory:
        if self._state is not None:
            self._saved = await asyncio.to_thread(load, self._state)
            saving = keep_saved(self._state, self._to_save, self._changed)
            self._tasks.append(asyncio.create_task(saving, name="save the last good sets"))
        for name in {self.default, *self._saved}:
            self._follow(name)
        self._tasks.append(asyncio.create_task(self._follow_names(), name="follow the list of services"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(service.stop() for service in self._services.values()))

    @property
    def ready(self) -> bool:
        """Whether the default service's set was learned."""
        return self._services[self.default].belief.known

    @property
    def names(self) -> list[str]:
        """Every service that may be asked for, ours first."""
        others = (n for n in self._names if n not in self._services and n != ITSELF)
        return sorted(n for n in self._services if self.exists(n)) + sorted(others)

    def services(self) -> Iterable[Service]:
        """Those that are followed."""
        return self._services.values()

    def exists(self, name: str) -> bool:
        """Whether there is such a service: Consul lists it, or the last belief names workers of it."""
        service = self._services.get(name)
        return name in self._names or (service is not None and bool(service.belief.snapshot.instances))

    def hint(self, service: Service) -> str:
        """What the token may lack where a service has no workers; "" where nothing hints at that.

        Consul leaves out what a token may not read, and answers 200 as if that were all. But every catalog holds
        Consul itself: a list without it is not the whole list.
        """
        if service.belief.snapshot.instances or not self._listed:
            return ""
        if service.name in self._names:
            return NODES_UNREADABLE
        return "" if ITSELF in self._names else SERVICES_UNREADABLE

    def followed(self, name: str) -> Service | None:
        """The service if it is followed already."""
        return self._services.get(name)

    def find(self, name: str) -> Service | None:
        """The service, followed from now on if Consul lists it; None where there is none of that name."""
        service = self._services.get(name)
        if service is None and name in self._names and len(self._services) < FOLLOWED_AT_MOST:
            service = self._follow(name)
        return service

    def _follow(self, name: str) -> Service:
        saved = self._saved.get(name)
        service = Service(name, self._catalog, changed=self._changed.set, hidden=self._hidden, saved=saved)
        self._services[name] = service
        return service

    async def _hidden(self, name: str) -> bool:
        """Whether Consul hides a service's instances rather than having none; see `hint`.

        Where it has never shown itself, the token was never meant to see the whole list.
        """
        _, names = await self._catalog.services()
        return name in names or (self._showed_itself and ITSELF not in names)

    def _to_save(self) -> Iterable[Saved]:
        followers = [service.follower for service in self._services.values()]
        return [s for f in followers if (s := as_saved(f.belief, f.confirmed_s)) is not None]

    async def _follow_names(self) -> None:
        index, failures, chance = 0, 0, random.Random()
        bucket = TokenBucket(rate_hz=LISTS_A_SECOND, burst=CHANGES_AT_ONCE, now_s=time.monotonic())
        while True:
            try:
                answered, names = await self._catalog.services(index=index)
            except RegistryError as error:
                logger.debug("The list of services: %s", error)
                index = 0
                await asyncio.sleep(backoff_s(failures, chance))
                failures += 1
                continue
            failures, index = 0, 0 if answered < index else max(1, answered)
            await self._apply(names)
            await asyncio.sleep(bucket.delay_s(time.monotonic()))

    async def _apply(self, names: Mapping[str, frozenset[str]]) -> None:
        """Follow what is ours and new; stop following what is gone from Consul and has no workers left."""
        if ITSELF not in names and (ITSELF in self._names or not self._listed):
            logger.warning("Consul does not list itself: is the token in CONSUL_HTTP_TOKEN allowed service:read?")
        self._names, self._listed = names, True
        self._showed_itself = self._showed_itself or ITSELF in names
        for name, tags in names.items():
            if TAG in tags and name not in self._services and len(self._services) < FOLLOWED_AT_MOST:
                self._follow(name)
        gone = [
            name
            for name, service in self._services.items()
            if name != self.default and not self.exists(name) and service.belief.known
        ]
        for name in gone:
            await self._services.pop(name).stop()
