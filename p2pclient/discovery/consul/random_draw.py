"""Which workers a lookup at Consul names: drawn at random by weight, first the version where calls are split; pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from p2pclient.types import Worker


def draw(workers: Sequence[Worker], shares: Mapping[str, int], count: int, *, chance: random.Random) -> list[Worker]:
    """Up to `count` different workers; `shares` are the versions' weights, none where calls are not split.

    A version that has no more workers gives its share to the others. A worker that has no share is not drawn.
    """
    groups: dict[str, list[Worker]] = {}
    for worker in workers:
        if not shares or worker.version in shares:
            groups.setdefault(worker.version if shares else "", []).append(worker)
    waiting = {version: _in_drawn_order(members, chance) for version, members in groups.items()}
    drawn: list[Worker] = []
    while waiting and len(drawn) < count:
        versions = list(waiting)
        (version,) = chance.choices(versions, [shares.get(version, 1) for version in versions])
        drawn.append(waiting[version].pop())
        if not waiting[version]:
            del waiting[version]
    return drawn


def _in_drawn_order(workers: Sequence[Worker], chance: random.Random) -> list[Worker]:
    """All of them as if drawn one by one by weight, the last one first.

    Source: P. Efraimidis and P. Spirakis, Weighted random sampling with a reservoir, Inf. Proc. Letters 97(5), 2006.
    """
    keys = {worker: chance.random() ** (1 / worker.weight) for worker in workers}
    return sorted(workers, key=keys.__getitem__)
