"""Whose image is next: the callers take turns, one image each, and the images of one caller keep their order.

This is deficit round robin (Shreedhar and Varghese, 1995) where all packets have one size: every image costs the
engine the same. Pure, and without a turn for a single caller, whose images leave as they came.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class FairQueue(Generic[T]):
    """What waits, by the name of its caller; an item is in the queue at most once. `count` is how many wait."""

    __slots__ = ("_callers", "count")

    def __init__(self) -> None:
        self._callers: OrderedDict[str, OrderedDict[T, None]] = OrderedDict()
        # The first one's turn is next. The only caller stays when it has no items: most often the next are its own.
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[T]:
        return (item for items in self._callers.values() for item in items)

    def add(self, caller: str, items: Sequence[T]) -> None:
        """Append items of a caller, whose turn comes after that of all others if it had none here."""
        if not items:
            return
        mine = self._callers.get(caller)
        if mine is None:
            mine = self._callers.popitem()[1] if self._callers and not self.count else OrderedDict()
            self._callers[caller] = mine
        for item in items:
            mine[item] = None
        self.count += len(items)

    @property
    def first(self) -> T:
        """The item that `pop` would take out of a queue that is not empty."""
        return next(iter(next(iter(self._callers.values()))))

    def pop(self) -> T:
        """Take the next item out of a queue that is not empty."""
        caller = next(iter(self._callers))
        items = self._callers[caller]
        item = items.popitem(last=False)[0]
        self.count -= 1
        if len(self._callers) > 1:
            if items:
                self._callers.move_to_end(caller)
            else:
                del self._callers[caller]
        return item

    def discard(self, caller: str, item: T) -> bool:
        """Take out an item of a caller, if it is still here; whether it was."""
        items = self._callers.get(caller)
        if items is None or item not in items:
            return False
        del items[item]
        self.count -= 1
        if not items and len(self._callers) > 1:
            del self._callers[caller]
        return True

    def clear(self) -> None:
        """Take out all items."""
        self._callers.clear()
        self.count = 0

    @property
    def callers(self) -> frozenset[str]:
        """The names of those who have items here."""
        return frozenset(name for name, items in self._callers.items() if items)

    def count_of(self, caller: str) -> int:
        """How many items of the caller wait."""
        return len(self._callers.get(caller, ()))

    def ahead_of(self, caller: str, more: int) -> int:
        """How many items leave before the last of `more` that the caller adds now, without these."""
        mine = self.count_of(caller)
        if self.count == mine:
            return mine
        turns = mine + more
        return mine + sum(min(len(items), turns) for name, items in self._callers.items() if name != caller)
