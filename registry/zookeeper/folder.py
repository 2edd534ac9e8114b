"""The children of one node, each with what was read of it, kept up to date by watches: only what has changed is read.

A watch of ZooKeeper's fires once, so that each reading sets it again. Watches do not survive a lost connection here:
after one everything is read anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

from kazoo.exceptions import NoNodeError

from registry.zookeeper.session import Session

Value = TypeVar("Value")

Notify = Callable[[Any], None]
"""A watch, which kazoo calls in a thread of its own."""

ReadChild = Callable[[str, Notify], Awaitable[tuple[int, Value]]]
"""Reads the child of a name and sets the watch: the number of its last transaction, and what it holds.

Raises NoNodeError where it is gone.
"""


class Folder(Generic[Value]):
    """The children of the node at `path`, read by `read_child`; none where there is no such node.

    `values` are those of the last `refresh`, and `index` the number of the last transaction that changed them.
    `changed` is set when `refresh` would find something else.
    """

    def __init__(self, session: Session, path: str, read_child: ReadChild[Value]) -> None:
        self.index = 0
        self.changed = asyncio.Event()
        self._session = session
        self._path = path
        self._read_child = read_child
        self._loop = asyncio.get_running_loop()
        self._transaction = 0
        self._children: dict[str, tuple[int, Value]] = {}
        self._names: frozenset[str] = frozenset()
        self._names_unread = True
        self._unread: set[str] = set()
        self._watches: dict[str, Notify] = {}
        self._watch_names = partial(self._notified, None)
        self._reading = asyncio.Lock()

    @property
    def values(self) -> Mapping[str, Value]:
        """What was read of the children, by name."""
        return {name: value for name, (_, value) in self._children.items()}

    def forget(self) -> None:
        """The watches are gone: read everything anew with the next `refresh`."""
        self._names_unread = True
        self._unread |= self._children.keys()
        self.changed.set()

    async def refresh(self) -> None:
        """Read what has changed. Raises a RegistryError; everything is read with the next call then."""
        async with self._reading:
            self.changed.clear()
            try:
                await self._refresh()
            except BaseException:
                self.forget()
                raise

    async def _refresh(self) -> None:
        if self._names_unread:
            self._names_unread = False
            await self._read_names()
        unread, self._unread = self._unread, set()
        await asyncio.gather(*(self._read(name) for name in unread if name in self._names))
        self.index = max([self._transaction, *(transaction for transaction, _ in self._children.values())])

    async def _read_names(self) -> None:
        names, self._transaction = await self._names_there()
        self._names = frozenset(names)
        self._unread |= self._names - self._children.keys()
        for name in self._children.keys() - self._names:
            del self._children[name]
            self._watches.pop(name, None)

    async def _names_there(self) -> tuple[list[str], int]:
        """The children's names, and the number of the last transaction that changed them."""
        with suppress(NoNodeError):
            names, stat = await self._session.call(
                lambda client: client.get_children_async(self._path, watch=self._watch_names, include_data=True)
            )
            return names, stat.pzxid
        if await self._session.call(lambda client: client.exists_async(self._path, watch=self._watch_names)):
            return await self._names_there()  # made in between
        return [], self._session.last_transaction

    async def _read(self, name: str) -> None:
        watch = self._watches.setdefault(name, partial(self._notified, name))
        try:
            self._children[name] = await self._read_child(name, watch)
        except NoNodeError:  # the watch of the names says so, too
            self._children.pop(name, None)

    def _notified(self, name: str | None, _: Any) -> None:
        """In a thread of kazoo's: a watch has fired."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._mark, name)

    def _mark(self, name: str | None) -> None:
        if name is None:
            self._names_unread = True
        else:
            self._unread.add(name)
        self.changed.set()
