"""The registrations in ZooKeeper, for an operator's commands: any of them can be changed from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NoNodeError
from kazoo.interfaces import IAsyncResult

from registry.backend.errors import BackendRefused, BackendUnavailable, Forgotten
from registry.backend.registrations import Registered
from registry.instances.instance import Instance
from registry.zookeeper.node import MALFORMED, with_maintenance
from registry.zookeeper.settings import ZooKeeperSettings
from registry.zookeeper.source import ZooKeeperSource, services_path

TRIES = 5
"""How often a write is tried while the worker writes the same node."""


class ZooKeeperRegistrations:
    """A session for one command; the calls and their errors are those of `Registrations`."""

    def __init__(self, settings: ZooKeeperSettings) -> None:
        self._settings = settings
        self._source = ZooKeeperSource(settings)
        self._session = self._source.session

    async def close(self) -> None:
        """End the session."""
        await self._source.close()

    async def changeable(self) -> Sequence[Registered]:
        """All registrations."""
        _, services = await self._source.services()
        answers = [await self._source.health(name) for name in services]
        return [_registered(instance) for answer in answers for instance in answer.instances]

    async def known(self) -> Sequence[Registered]:
        """All registrations."""
        return await self.changeable()

    async def maintenance(self, registered: Registered, *, enable: bool, reason: str = "") -> None:
        """Put a registration into or out of maintenance. Raises Forgotten where it is gone."""
        path = f"{services_path(self._settings)}/{registered.service}/{registered.id}"
        for _ in range(TRIES):
            try:
                data, stat = await self._session.call(lambda client: client.get_async(path))
                wanted = _changed(data, registered.id, reason if enable else None)
                if data != wanted:
                    await self._session.call(partial(_set, path, wanted, stat.version))
                return
            except NoNodeError as error:
                raise Forgotten(f"ZooKeeper at {self._settings.url} does not know {registered.id}.") from error
            except BadVersionError:
                continue
        raise BackendUnavailable(f"ZooKeeper at {self._settings.url}: others write {path} all the time.")


def _changed(data: bytes, instance_id: str, maintenance: str | None) -> bytes:
    try:
        return with_maintenance(data, instance_id, maintenance)
    except MALFORMED as error:
        raise BackendRefused(f"The node of {instance_id} does not hold a registration.") from error


def _registered(instance: Instance) -> Registered:
    return Registered(instance.id, instance.service, instance.host, instance.port)


def _set(path: str, data: bytes, version: int, client: KazooClient) -> IAsyncResult:
    return client.set_async(path, data, version)
