"""Weighted, smooth round robin over the instances of a service: decides which one is next. Pure.

Instances of one weight form a ring that is walked in order; the rings compete by stride scheduling
(C. Waldspurger, W. Weihl: "Stride Scheduling", MIT/LCS/TM-528, 1995): a ring of m instances of weight w
has its turn every 1/(m*w) of virtual time, and the earliest turn goes next. So equal workers are handed out
in strict rotation, unequal ones interleave evenly, and a pick costs O(number of distinct weights): the
same for two instances and for ten thousand.
"""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice

from registry.instances.instance import Instance

# Virtual time is an integer, so that turns never drift apart by rounding.
_SECOND = 1 << 48


class Ring:
    """Instances of one weight in a fixed cyclic order, and the virtual time of the next turn.

    The next turn is that of `members[taken % len(members)]`: whoever adds one to `taken` has taken it.
    """

    __slots__ = ("_first_due", "members", "stride", "taken", "weight")

    def __init__(self, weight: int, members: list[Instance], now: int, cursor: int = 0) -> None:
        self.weight = weight
        self.members = members[cursor:] + members[:cursor]
        self.taken = 0
        self.stride = _SECOND // (weight * len(members))
        # Half a stride of head start spreads rings against each other: 1,1,4 becomes C A C C B C.
        self._first_due = now + self.stride // 2

    @property
    def due(self) -> int:
        """The virtual time of the next turn."""
        return self._first_due + self.taken * self.stride

    @property
    def upcoming(self) -> Instance:
        """The member that has the next turn."""
        return self.members[self.taken % len(self.members)]

    def take(self) -> Instance:
        """The next member; moves on."""
        turn = self.taken
        self.taken = turn + 1
        return self.members[turn % len(self.members)]

    def take_many(self, count: int) -> list[Instance]:
        """The next `count` members, each once at most; moves on."""
        chosen = self.ahead(self.taken, count)
        self.taken += len(chosen)
        return chosen

    def ahead(self, turn: int, count: int) -> list[Instance]:
        """The `count` members, each once at most, whose turns begin with the one after `turn` turns."""
        cursor = turn % len(self.members)
        after = self.members[cursor : cursor + count]
        return after + self.members[: min(cursor, count - len(after))]

    def skip_to(self, now: int) -> None:
        """Let all turns before `now` pass."""
        self.taken += -((self.due - now) // self.stride)

    def turns(self) -> Iterator[tuple[int, Instance]]:
        """Each member once, with the virtual time of its next turn."""
        count, due = len(self.members), self.due
        for turn in range(count):
            yield due + turn * self.stride, self.members[(self.taken + turn) % count]

    def replace(self, members: list[Instance], now: int) -> None:
        """Adopt a changed membership: members that stay keep their turn, new ones go last."""
        fresh = {m.id: m for m in members}
        order = self.ahead(self.taken, len(self.members))
        kept = [fresh.pop(m.id) for m in order if m.id in fresh]
        stride = _SECOND // (self.weight * (len(kept) + len(fresh)))
        self._first_due = now + max(0, self.due - now) * stride // self.stride
        self.members = kept + list(fresh.values())
        self.taken = 0
        self.stride = stride


class Rotation:
    """Hands out instances in turn, from a random start, so that many processes do not use the same order.

    `chance` draws the start; tests pass a seeded one. `only_ring` holds all instances if they have the same weight: a
    turn that is taken from it is a turn of the rotation.
    """

    def __init__(self, instances: Iterable[Instance] = (), *, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()
        self._now = 0
        self._rings: list[Ring] = []
        self.only_ring: Ring | None = None
        self.replace(instances)

    def __len__(self) -> int:
        return sum(len(ring.members) for ring in self._rings)

    def replace(self, instances: Iterable[Instance]) -> None:
        """Adopt a new membership: instances that stay keep their turn, new ones of a weight go behind them."""
        self._catch_up()
        by_weight: dict[int, list[Instance]] = {}
        for instance in instances:
            by_weight.setdefault(max(1, instance.weight), []).append(instance)
        old = {ring.weight: ring for ring in self._rings}
        self._rings = [self._ring(old.get(w), w, by_weight[w]) for w in sorted(by_weight)]
        self.only_ring = self._rings[0] if len(self._rings) == 1 else None

    def next(self) -> Instance | None:
        """The next instance, or None when there is none."""
        if self.only_ring is not None:
            return self.only_ring.take()
        if not self._rings:
            return None
        ring = min(self._rings, key=_due)
        self._now = ring.due
        return ring.take()

    def next_except(self, excluded: Container[str]) -> Instance | None:
        """The next instance whose id is not in `excluded`, or None; excluded instances lose the turns before its.

        Costs O(instances), however large the weights of excluded ones are.
        """
        self._catch_up()
        open_rings = [ring for ring in self._rings if any(member.id not in excluded for member in ring.members)]
        if not open_rings:
            return None
        ring = min(open_rings, key=_due)
        while ring.upcoming.id in excluded:
            ring.take()
            ring = min(open_rings, key=_due)
        self._now = ring.due
        for other in self._rings:
            if other.due < self._now:
                other.skip_to(self._now)
        return ring.take()

    def take(self, count: int) -> Sequence[Instance]:
        """`count` different instances in rotation order, fewer if there are fewer; as many turns pass."""
        if self.only_ring is not None:
            return self.only_ring.take_many(count)
        chosen = self.ahead(count)
        for _ in chosen:
            self.next()
        return chosen

    def ahead(self, count: int) -> Sequence[Instance]:
        """Different instances in the order of their next turns; no turn passes."""
        if self.only_ring is not None:
            return self.only_ring.ahead(self.only_ring.taken, count)
        turns = merge(*(ring.turns() for ring in self._rings), key=_turn)
        return [instance for _, instance in islice(turns, count)]

    def _catch_up(self) -> None:
        """Turns of the only ring are taken without this rotation's virtual time: it is that of the last one now."""
        ring = self.only_ring
        if ring is not None and ring.taken:
            self._now = ring.due - ring.stride

    def _ring(self, old: Ring | None, weight: int, members: list[Instance]) -> Ring:
        if old is None:
            return Ring(weight, members, self._now, self._chance.randrange(len(members)))
        old.replace(members, self._now)
        return old


def _due(ring: Ring) -> int:
    return ring.due


def _turn(turn: tuple[int, Instance]) -> int:
    return turn[0]
