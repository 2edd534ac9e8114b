"""Keeps a worker's registration in ZooKeeper: an ephemeral node, whose data says how the worker is.

A live session says that the process lives. What Consul's checks say besides is written into the node by the process
itself: whether its predictions get done, and what its health path answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import aiohttp
from kazoo.client import KazooClient, TransactionRequest
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError
from kazoo.interfaces import IAsyncResult
from kazoo.security import ACL

from registry.backend.checks import Checks
from registry.backend.entry import CONNECTION_REFUSED
from registry.backend.errors import BackendUnavailable, Forgotten
from registry.backend.registrar import LEAVING
from registry.instances.instance import Health, Instance
from registry.runtime.errors import RegistryError
from registry.runtime.tasks.supervise import cancel_all, start_supervised
from registry.zookeeper.access_list import access_list
from registry.zookeeper.health_check import HealthCheck
from registry.zookeeper.node import Check, boot_of, encode, maintenance_of
from registry.zookeeper.session import Session
from registry.zookeeper.settings import ZooKeeperSettings
from registry.zookeeper.source import services_path

logger = logging.getLogger(__name__)

TRIES = 5
"""How often a write is tried while somebody else writes the same node."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What the node says at the moment: its data, version, and whether our session made it."""

    data: bytes
    version: int
    ours: bool


class ZooKeeperRegistrar:
    """A session that keeps the node of one instance; the calls and their errors are those of `Registrar`.

    A maintenance stands in the node's data. It is kept here, too, so that it outlives the session.
    """

    def __init__(self, settings: ZooKeeperSettings) -> None:
        self.product = settings.product
        self._settings = settings
        self._session = Session(settings)
        self._instance: Instance | None = None
        self._checks: dict[str, Check] = {}
        self._maintenance: str | None = None
        self._writing = asyncio.Lock()
        self._checking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End the session."""
        await self._end_check()
        await self._session.close()

    async def has_leader(self) -> bool:
        """Whether a server holds our session, which it does only while the servers have a leader; never raises."""
        return self._session.refused or self._session.connected

    async def register(self, instance: Instance, checks: Checks) -> None:
        """Make the node, or write it anew where it is there already.

        A node of an earlier process at this address, whose session has not ended yet, gives way.
        """
        async with self._writing:
            if self._instance is None or self._instance.boot != instance.boot:
                self._checks = _first_checks(instance, checks)
            self._instance = instance
            await self._write_anew(instance)
        if checks.health_url is not None and self._checking is None:
            check = HealthCheck(checks.health_url, checks)
            body = partial(self._keep_checking, check, _http_id(instance.id), checks.interval_s)
            self._checking = start_supervised(f"check the health path of {instance.id}", body)

    async def deregister(self, instance_id: str) -> None:
        """Remove the node, if it is this process's."""
        await self._end_check()
        if self._instance is None:
            return
        async with self._writing:
            found = await self._find()
            if found is not None and (found.ours or boot_of(found.data) == self._instance.boot):
                with suppress(NoNodeError):
                    await self._session.call(lambda client: client.delete_async(self._path))

    async def maintenance(self, instance_id: str, *, enable: bool, reason: str = "") -> None:
        """Put the instance into or out of maintenance."""

        def change() -> None:
            # A worker that leaves keeps an operator's reason, which the next process at its address is not to end.
            if self._maintenance is None or reason != LEAVING:
                self._maintenance = reason if enable else None

        await self._change(change)

    async def heartbeat(self, instance_id: str, *, note: str = "") -> None:
        """Report that the instance works; written where the node says otherwise."""
        await self._report(_loop_id(instance_id), Health.PASSING, note)

    async def silence(self, instance_id: str, *, note: str) -> None:
        """Report that the instance does not work, and why."""
        await self._report(_loop_id(instance_id), Health.CRITICAL, note)

    async def knows(self, instance_id: str, *, boot: str) -> bool:
        """Whether the node is there, of our session and of the process with boot id `boot`."""
        try:
            found = await self._ours()
        except Forgotten:
            return False
        return boot_of(found.data) == boot

    async def failing_check(self, instance_id: str) -> str | None:
        """What the check of the health path found, where it is critical; None where it is not."""
        check = self._checks.get(_http_id(instance_id))
        return check.output if check is not None and check.status is Health.CRITICAL else None

    @property
    def _path(self) -> str:
        assert self._instance is not None, "register comes first"
        return f"{services_path(self._settings)}/{self._instance.service}/{self._instance.id}"

    async def _report(self, check_id: str, status: Health, output: str) -> None:
        """Change what a check says; the node is read in any case, so that its loss is noticed."""

        def change() -> None:
            known = self._checks.get(check_id)
            if known is not None and known.status is not status:
                self._checks[check_id] = replace(known, status=status, output=output)

        await self._change(change)

    async def _change(self, change: Callable[[], None]) -> None:
        """Make a change of what the node is to say, and write the node if it says something else.

        Raises Forgotten where the node is not there, or not our session's.
        """
        async with self._writing:
            for _ in range(TRIES):
                found = await self._ours()
                change()
                wanted = self._data()
                if found.data == wanted:
                    return
                with suppress(BadVersionError, NoNodeError):  # somebody else wrote in between
                    await self._session.call(partial(_set, self._path, wanted, found.version))
                    return
        raise self._contended()

    async def _write_anew(self, instance: Instance) -> None:
        """Make the node, in place of one that another session made."""
        for _ in range(TRIES):
            found = await self._find()
            if found is not None:
                left = maintenance_of(found.data, instance.id)
                earlier = boot_of(found.data) != instance.boot
                self._maintenance = None if earlier and left == LEAVING else left
            with suppress(BadVersionError, NoNodeError, NodeExistsError):  # somebody else wrote in between
                if found is None:
                    acl = access_list(self._settings)
                    await self._session.call(partial(_create, self._path, self._data(), acl))
                elif found.ours:
                    await self._session.call(partial(_set, self._path, self._data(), found.version))
                else:
                    await self._replace(found)
                return
        raise self._contended()

    async def _replace(self, found: _Found) -> None:
        """Put our node in the place of another session's, at once, so that nobody sees it missing."""
        acl, path, data = access_list(self._settings), self._path, self._data()

        def build(transaction: TransactionRequest) -> None:
            transaction.delete(path, found.version)
            transaction.create(path, data, acl, ephemeral=True)

        await self._session.transact(build)

    async def _ours(self) -> _Found:
        """The node, where our session made it; a maintenance that it says is taken over. Raises Forgotten."""
        if self._instance is None:
            raise Forgotten("Nothing is registered yet.")
        found = await self._find()
        if found is None or not found.ours:
            raise Forgotten(f"ZooKeeper at {self._settings.url} does not hold {self._instance.id} for this process.")
        self._maintenance = maintenance_of(found.data, self._instance.id)
        return found

    async def _find(self) -> _Found | None:
        try:
            data, stat = await self._session.call(partial(_get, self._path))
        except NoNodeError:
            return None
        return _Found(data, stat.version, ours=stat.ephemeralOwner == self._session.id)

    def _data(self) -> bytes:
        assert self._instance is not None, "register comes first"
        return encode(self._instance, self._checks.values(), maintenance=self._maintenance)

    def _contended(self) -> BackendUnavailable:
        return BackendUnavailable(f"ZooKeeper at {self._settings.url}: others write {self._path} all the time.")

    async def _keep_checking(self, check: HealthCheck, id_: str, interval_s: float) -> None:
        """Fetch the health path, and write what it says whenever that is something else."""
        async with aiohttp.ClientSession() as http:
            written = True
            while True:
                await asyncio.sleep(interval_s)
                known = self._checks[id_]
                found = await check.next(known, http)
                if _meaning(found) != _meaning(known):
                    self._checks[id_], written = found, False
                if not written:
                    written = await self._tried_to_write()

    async def _tried_to_write(self) -> bool:
        try:
            await self._change(lambda: None)
        except RegistryError as error:
            logger.debug("What the health check found could not be written: %s", error)
            return False
        return True

    async def _end_check(self) -> None:
        if self._checking is not None:
            await cancel_all(self._checking)
            self._checking = None


def _first_checks(instance: Instance, checks: Checks) -> dict[str, Check]:
    """The checks of an instance that is warm."""
    found = {}
    if checks.health_url is not None:
        found[_http_id(instance.id)] = Check(_http_id(instance.id), "answers its health path")
    if checks.ttl_s:
        found[_loop_id(instance.id)] = Check(_loop_id(instance.id), "its prediction loop moves")
    return found


def _meaning(check: Check) -> tuple[Health, bool]:
    """What lookups must learn of a check: how the worker is, and whether it refuses connections."""
    return check.status, CONNECTION_REFUSED in check.output


def _http_id(instance_id: str) -> str:
    return f"{instance_id}:http"


def _loop_id(instance_id: str) -> str:
    return f"{instance_id}:loop"


def _get(path: str, client: KazooClient) -> IAsyncResult:
    return client.get_async(path)


def _set(path: str, data: bytes, version: int, client: KazooClient) -> IAsyncResult:
    return client.set_async(path, data, version)


def _create(path: str, data: bytes, acl: list[ACL], client: KazooClient) -> IAsyncResult:
    return client.create_async(path, data, acl=acl, ephemeral=True, makepath=True)
