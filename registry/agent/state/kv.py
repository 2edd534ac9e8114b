"""Keys and values: pairs with flags and indexes, read singly or by prefix, written with or without a condition.

A read's index is that of what it returns; where it returns nothing, that of the last write to any key,
as in Consul. A removal leaves a mark, so that a prefix's index never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from registry.agent.state.index import Changes, Topic

_KEYS: Topic = ("keys", "")
# Consul forgets its marks after a quarter of an hour, and an index may then go back; here the oldest go first.
_MARKS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Pair:
    """A key, its value and its flags (an unsigned number that is the client's own affair)."""

    key: str
    value: bytes
    flags: int = 0
    created: int = field(default=0, compare=False)
    modified: int = field(default=0, compare=False)


def key_topic(key: str) -> Topic:
    """The topic of one key."""
    return ("key", key)


def prefix_topic(prefix: str) -> Topic:
    """The topic of all keys that start with `prefix`."""
    return ("prefix", prefix)


class KeyValues:
    """All pairs, in memory."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._pairs: dict[str, Pair] = {}
        self._removed_at: dict[str, int] = {}

    def get(self, key: str) -> Pair | None:
        """The pair, or None."""
        return self._pairs.get(key)

    def under(self, prefix: str) -> list[Pair]:
        """The pairs whose keys start with `prefix`, in order of their keys' bytes as Consul has them."""
        found = [pair for key, pair in self._pairs.items() if key.startswith(prefix)]
        return sorted(found, key=lambda pair: pair.key.encode())

    def index_of(self, key: str) -> int:
        """When the key last changed; if it does not exist, when any did."""
        pair = self._pairs.get(key)
        return pair.modified if pair else self._table_index()

    def index_under(self, prefix: str) -> int:
        """When a key under `prefix` was last written or removed; if there is none, when any was."""
        pairs = self.under(prefix)
        if not pairs:
            return self._table_index()
        removed = (at for key, at in self._removed_at.items() if key.startswith(prefix))
        return max(max(pair.modified for pair in pairs), max(removed, default=0))

    def put(self, key: str, value: bytes, *, flags: int = 0, cas: int | None = None) -> bool:
        """Write a pair; writing what is already there changes nothing.

        With `cas` only if the key was last changed at that index, 0 meaning that it must not exist.
        """
        old = self._pairs.get(key)
        if cas is not None and cas != (old.modified if old else 0):
            return False
        if old == Pair(key, value, flags):
            return True
        index = self._changes.next_index()
        self._pairs[key] = Pair(key, value, flags, created=old.created if old else index, modified=index)
        self._announce([key])
        return True

    def delete(self, key: str, *, cas: int | None = None) -> bool:
        """Remove a pair, with `cas` only if it was last changed at that index; one that is not there is gone."""
        old = self._pairs.get(key)
        if old is None:
            return True
        if cas is not None and cas != old.modified:
            return False
        self._remove([key])
        return True

    def delete_under(self, prefix: str) -> None:
        """Remove all pairs whose keys start with `prefix`."""
        keys = [pair.key for pair in self.under(prefix)]
        if keys:
            self._remove(keys)

    def _remove(self, keys: list[str]) -> None:
        index = self._changes.next_index()
        for key in keys:
            del self._pairs[key]
            self._removed_at.pop(key, None)
            self._removed_at[key] = index
        while len(self._removed_at) > _MARKS_MAX:
            del self._removed_at[next(iter(self._removed_at))]
        self._announce(keys)

    def _announce(self, keys: Iterable[str]) -> None:
        self._changes.version += 1
        self._changes.announce([_KEYS])
        for key in keys:
            self._changes.wake(key_topic(key))
            for end in range(len(key) + 1):
                self._changes.wake(prefix_topic(key[:end]))

    def _table_index(self) -> int:
        return self._changes.at(_KEYS) or 1


def grouped(keys: Iterable[str], *, prefix: str, separator: str) -> list[str]:
    """Keys cut after the first separator that follows `prefix`, each such folder once; order is kept."""
    if not separator:
        return list(keys)
    folders: dict[str, None] = {}
    for key in keys:
        at = key.find(separator, len(prefix))
        folders[key if at < 0 else key[: at + len(separator)]] = None
    return list(folders)
