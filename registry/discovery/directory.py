"""Which services are followed: the default service, every service with our tag, and others once they are asked for.

A service is followed by one watch per process, however many clients ask for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from registry.consul.catalog import TAG, Catalog
from registry.discovery.service import Service
from registry.discovery.service_list import CONSUL_SERVICE, ServiceList
from registry.discovery.state_file import SavedSnapshot, as_saved, keep_saved, load
from registry.runtime.supervise import cancel_all, start_supervised

FOLLOWED_AT_MOST = 1000

SERVICES_UNREADABLE = "Consul may be hiding them, the token in CONSUL_HTTP_TOKEN needs service:read and node:read"
NODES_UNREADABLE = "Consul lists it and shows none, the token in CONSUL_HTTP_TOKEN needs node:read, too"


class Directory:
    """All followed services, and the names of all others.

    An async context manager: following begins on entry and has ended on exit. `state` is the file that keeps the last
    good snapshots over restarts; None keeps nothing.
    """

    def __init__(self, catalog: Catalog, *, default: str, state: Path | None = None) -> None:
        self.default = default
        self._catalog = catalog
        self._state = state
        self._saved: Mapping[str, SavedSnapshot] = {}
        self._changed = asyncio.Event()
        self._services: dict[str, Service] = {}
        self._list = ServiceList(catalog, self._follow_listed)
        self._spellings: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Directory:
        if self._state is not None:
            path, consul = self._state, self._catalog.url
            self._saved = await asyncio.to_thread(load, path, consul=consul)
            saving = partial(keep_saved, path, self._to_save, self._changed, consul=consul)
            self._tasks.append(start_supervised("save the last good snapshots", saving))
        for name in {self.default, *self._saved}:
            self._follow(name)
        self._tasks.append(start_supervised("follow the list of services", self._list.run))
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_all(*self._tasks)
        await asyncio.gather(*(service.stop() for service in self._services.values()))

    @property
    def ready(self) -> bool:
        """Whether anything is known of the default service."""
        return self._services[self.default].snapshot.known

    @property
    def names(self) -> list[str]:
        """Every service that may be asked for, followed ones first."""
        others = (name for name in self._list.tags if name not in self._services and name != CONSUL_SERVICE)
        return sorted(name for name in self._services if self.exists(name)) + sorted(others)

    def services(self) -> Iterable[Service]:
        """The followed services."""
        return self._services.values()

    def exists(self, name: str) -> bool:
        """Whether there is such a service: Consul lists it, or the last snapshot has instances of it."""
        service = self._services.get(name)
        return name in self._list or (service is not None and bool(service.snapshot.instances))

    def registered_name(self, name: str) -> str:
        """The name as it is registered, where `name` differs from it in case only; else `name` in lower case."""
        lower = name.lower()
        spelling = lower if self.exists(lower) else self._spellings.get(lower, lower)
        return spelling if self.exists(spelling) else lower

    def hint(self, service: Service) -> str:
        """Which right the token may lack where a service has no instances; "" where nothing indicates that.

        Consul leaves out what a token may not read, and answers 200 all the same.
        """
        if service.snapshot.instances or not self._list.known:
            return ""
        if service.name in self._list:
            return NODES_UNREADABLE
        return "" if self._list.complete else SERVICES_UNREADABLE

    def followed(self, name: str) -> Service | None:
        """The service if it is followed already."""
        return self._services.get(name)

    def find(self, name: str) -> Service | None:
        """The service, followed from now on if Consul lists it; None where there is none of that name."""
        service = self._services.get(name)
        if service is None and name in self._list and len(self._services) < FOLLOWED_AT_MOST:
            service = self._follow(name)
        return service

    def leader_lost(self) -> None:
        """Consul has lost its leader: all services are queried at once."""
        for service in self._services.values():
            service.watch.leader_lost()

    def leader_found(self) -> None:
        """Consul has a leader again: what waits after an error is queried at once."""
        self._list.leader_found()
        for service in self._services.values():
            service.watch.leader_found()

    def _follow(self, name: str) -> Service:
        service = Service(
            name,
            self._catalog,
            changed=self._changed.set,
            is_hidden=self._list.hides,
            saved=self._saved.get(name),
        )
        self._services[name] = service
        self._spellings[name.lower()] = name
        return service

    def _to_save(self) -> Iterable[SavedSnapshot]:
        watches = [service.watch for service in self._services.values()]
        return [saved for w in watches if (saved := as_saved(w.snapshot, w.confirmed_s)) is not None]

    async def _follow_listed(self) -> None:
        """Follow new services with our tag; stop following what Consul no longer lists and has no instances left."""
        for name, tags in self._list.tags.items():
            if TAG in tags and name not in self._services and len(self._services) < FOLLOWED_AT_MOST:
                self._follow(name)
        gone = [
            name
            for name, service in self._services.items()
            if name != self.default and not self.exists(name) and service.snapshot.known
        ]
        for name in gone:
            await self._services.pop(name).stop()
        spellings = {name.lower(): name for name in sorted(self._list.tags, reverse=True)}
        self._spellings = spellings | {name.lower(): name for name in sorted(self._services, reverse=True)}
