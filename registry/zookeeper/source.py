"""Reads services and instances from ZooKeeper, with the answers and the waiting that the lookup service expects.

ROOT/services/SERVICE/ID is the node of an instance. It is ephemeral: it lives as long as the session of the process
that made it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

from registry.backend.coordinate import Coordinate
from registry.backend.errors import BackendUnavailable
from registry.backend.health_answer import HealthAnswer
from registry.backend.source import WAIT_S
from registry.instances.instance import TAG, Instance
from registry.instances.usability import Unusable
from registry.runtime.tasks.race import event_within
from registry.zookeeper.folder import Folder, Notify
from registry.zookeeper.node import decode
from registry.zookeeper.session import Session
from registry.zookeeper.settings import ZooKeeperSettings

FOLDERS_KEPT_AT_MOST = 256
"""Services whose nodes are kept, with watches, those asked for last: more than are followed at a time."""


def services_path(settings: ZooKeeperSettings) -> str:
    """The node whose children are the services."""
    return f"{settings.root}/services"


class ZooKeeperSource:
    """A connection to an ensemble; the calls are those of `Source`.

    `session` carries them. An answer rests on a connection that was alive when it was given; without one
    BackendUnavailable is raised, so that a lost session or quorum is never taken for a service without instances.
    """

    own_services: frozenset[str] = frozenset()

    def __init__(self, settings: ZooKeeperSettings) -> None:
        self.url = settings.url
        self.product = settings.product
        self._settings = settings
        self.session = Session(settings, lost=self._lost)
        self._services: Folder[int] | None = None
        self._folders: OrderedDict[str, Folder[Instance | Unusable]] = OrderedDict()

    async def close(self) -> None:
        """End the session."""
        await self.session.close()

    async def health(self, service: str, *, index: int = 0, wait_s: float = WAIT_S) -> HealthAnswer:
        """All instances of a service with their health; waits for a change when `index` is given."""
        folder = self._folder(service)
        await self._read(folder, index, wait_s)
        found = folder.values.values()
        return HealthAnswer(
            index=max(1, folder.index),
            instances=tuple(sorted((i for i in found if isinstance(i, Instance)), key=lambda i: i.id)),
            unusable=tuple(sorted((u for u in found if isinstance(u, Unusable)), key=lambda u: (u.id, u.reason))),
        )

    async def services(self, *, index: int = 0) -> tuple[int, Mapping[str, frozenset[str]]]:
        """The index, and the tag of every service that has instances, by name; waits for a change of `index`."""
        if self._services is None:
            self._services = Folder(self.session, services_path(self._settings), self._instances_of)
        await self._read(self._services, index, WAIT_S)
        tags = {name: frozenset({TAG}) for name, count in self._services.values.items() if count}
        return max(1, self._services.index), tags

    async def has_leader(self) -> bool:
        """Whether a server holds our session, which it does only while the servers have a leader; never raises."""
        return self.session.refused or self.session.connected

    async def datacenter(self) -> str:
        """A name for the ensemble, which has none of its own."""
        return self._settings.datacenter

    async def datacenters(self) -> list[str]:
        """The ensemble alone."""
        return [self._settings.datacenter]

    async def node_name(self) -> str:
        """There are no agents."""
        return ""

    async def coordinates(self) -> Mapping[str, Coordinate]:
        """There are none."""
        return {}

    def hint(self, *, listed: bool, complete: bool) -> str:
        """ZooKeeper refuses what we may not read, and hides nothing."""
        return ""

    async def _read(self, folder: Folder[Any], index: int, wait_s: float) -> None:
        """Bring the folder up to date, after a change where it is at `index` already."""
        if not index:
            folder.forget()
        await folder.refresh()
        if index == max(1, folder.index):
            await event_within(folder.changed, wait_s)
            await folder.refresh()
        if not self.session.connected:
            raise BackendUnavailable(f"ZooKeeper at {self.url}: the connection is lost.")

    def _folder(self, service: str) -> Folder[Instance | Unusable]:
        folder = self._folders.get(service)
        if folder is None:
            path = f"{services_path(self._settings)}/{service}"
            folder = Folder(self.session, path, partial(self._instance, service))
            self._folders[service] = folder
            if len(self._folders) > FOLDERS_KEPT_AT_MOST:
                self._folders.popitem(last=False)
        self._folders.move_to_end(service)
        return folder

    async def _instance(self, service: str, name: str, watch: Notify) -> tuple[int, Instance | Unusable]:
        path = f"{services_path(self._settings)}/{service}/{name}"
        data, stat = await self.session.call(lambda client: client.get_async(path, watch=watch))
        return stat.mzxid, decode(service, name, data)

    async def _instances_of(self, service: str, watch: Notify) -> tuple[int, int]:
        """How many instances a service has."""
        path = f"{services_path(self._settings)}/{service}"
        names, stat = await self.session.call(
            lambda client: client.get_children_async(path, watch=watch, include_data=True)
        )
        return stat.pzxid, len(names)

    def _lost(self) -> None:
        """The connection is lost, and the watches with it: what waits is to notice."""
        for folder in (self._services, *self._folders.values()):
            if folder is not None:
                folder.forget()
