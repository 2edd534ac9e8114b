"""Keys and values: pairs with flags, locks and indexes, read singly or by prefix, written on a condition or without.

A read's index is that of what it returns; where it returns nothing, that of the last write to any key,
as in Consul. A removal leaves a mark, so that a prefix's index never goes back. A lock is the id of a session in a
pair; whether that session exists is decided by the caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from registry.agent.state.index import ChangeIndex, Topic, Undo

_KEYS: Topic = ("keys", "")
# Consul forgets its marks after a quarter of an hour, and an index may then go back; here the oldest go first.
_MARKS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Pair:
    """A key, its value and its flags (an unsigned number whose meaning is the client's own).

    `session` holds the lock, if any; `lock_index` counts how often the lock was acquired. As in Consul 1.8 a write
    that is no acquisition sets the count back to 0.
    """

    key: str
    value: bytes
    flags: int = 0
    session: str = ""
    lock_index: int = 0
    created: int = field(default=0, compare=False)
    modified: int = field(default=0, compare=False)


def key_topic(key: str) -> Topic:
    """The topic of one key."""
    return ("key", key)


def prefix_topic(prefix: str) -> Topic:
    """The topic of all keys that start with `prefix`."""
    return ("prefix", prefix)


class KeyValueStore:
    """All pairs, in memory. `clock` gives monotonic seconds; lock delays are measured with it."""

    def __init__(self, changes: ChangeIndex, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._changes = changes
        self._clock = clock
        self._pairs: dict[str, Pair] = {}
        self._removed_at: dict[str, int] = {}
        self._lockable_at_s: dict[str, float] = {}

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
        """Write a pair, which stays locked if it was; writing what is already there changes nothing.

        With `cas` only if the key was last changed at that index, 0 meaning that it must not exist.
        """
        old = self._pairs.get(key)
        if cas is not None and cas != (old.modified if old else 0):
            return False
        self._write(Pair(key, value, flags, session=old.session if old else ""))
        return True

    def acquire(self, key: str, value: bytes, *, flags: int = 0, session: str) -> bool:
        """Write a pair and lock it; false if another session holds it. The caller respects `in_lock_delay`."""
        old = self._pairs.get(key)
        if old and old.session not in ("", session):
            return False
        count = old.lock_index if old else 0
        held = old is not None and old.session == session
        self._write(Pair(key, value, flags, session=session, lock_index=count if held else count + 1))
        return True

    def release(self, key: str, value: bytes, *, flags: int = 0, session: str) -> bool:
        """Write a pair and unlock it; false if this session does not hold it."""
        old = self._pairs.get(key)
        if old is None or old.session != session:
            return False
        self._write(Pair(key, value, flags, lock_index=old.lock_index))
        return True

    def in_lock_delay(self, key: str) -> bool:
        """Whether a session that held the key ended so recently that no other may lock it yet."""
        return self._lockable_at_s.get(key, 0.0) > self._clock()

    def end_session(self, session: str, *, delete: bool, lock_delay_s: float) -> None:
        """Unlock or delete what an ended session holds; for `lock_delay_s` nothing can lock these keys."""
        held = [pair for pair in self._pairs.values() if pair.session == session]
        now_s = self._clock()
        self._lockable_at_s = {key: at_s for key, at_s in self._lockable_at_s.items() if at_s > now_s}
        if lock_delay_s > 0:
            self._lockable_at_s.update((pair.key, now_s + lock_delay_s) for pair in held)
        if delete:
            self._remove([pair.key for pair in held])
        else:
            for pair in held:
                self._write(replace(pair, session=""))

    def delete(self, key: str, *, cas: int | None = None) -> bool:
        """Remove a pair, with `cas` only if it was last changed at that index; a missing one counts as removed."""
        old = self._pairs.get(key)
        if old is None:
            return True
        if cas is not None and cas != old.modified:
            return False
        self._remove([key])
        return True

    def delete_under(self, prefix: str) -> None:
        """Remove all pairs whose keys start with `prefix`."""
        self._remove([pair.key for pair in self.under(prefix)])

    def undo(self) -> Undo:
        """What puts all pairs back to their present state."""
        pairs, removed_at, lockable_at_s = dict(self._pairs), dict(self._removed_at), dict(self._lockable_at_s)

        def restore() -> None:
            self._pairs, self._removed_at, self._lockable_at_s = pairs, removed_at, lockable_at_s

        return restore

    def _write(self, pair: Pair) -> None:
        old = self._pairs.get(pair.key)
        if old == pair:
            return
        index = self._changes.next_index()
        self._pairs[pair.key] = replace(pair, created=old.created if old else index, modified=index)
        self._announce([pair.key])

    def _remove(self, keys: list[str]) -> None:
        if not keys:
            return
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
