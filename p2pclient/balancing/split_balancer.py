"""Which worker gets the next request where calls are split among versions: first the version, then its worker; pure.

Versions take turns by smooth weighted round robin (as nginx's upstreams do): each gains its weight at every turn, and
the one with the most gives up the sum of all. Each version has a balancer of its own, so that a subset of the workers,
or the ejection of some, never changes what a version gets.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence

from p2pclient.balancing.balancer import Balancer
from p2pclient.balancing.outlier_ejection import Outcome
from p2pclient.types import Worker

_HEAD_START_AT_MOST = 1000
"""Turns that pass before the first one, drawn at random, so that many new clients do not ask the same version first."""


class SplitBalancer:
    """The members of one service by version; `template` is a balancer with the options of each version's.

    `chance` draws; tests pass a seeded one.
    """

    def __init__(self, template: Balancer, *, chance: random.Random | None = None) -> None:
        self._template = template
        self._chance = chance or random.Random()
        self._balancers: dict[str, Balancer] = {}
        self._weights: dict[str, int] = {}
        self._gains: dict[str, int] = {}

    @property
    def all_refuse(self) -> bool:
        """Whether there are members and all of them refuse connections."""
        return bool(self._balancers) and all(balancer.all_refuse for balancer in self._balancers.values())

    def replace(self, workers: Sequence[Worker], shares: Mapping[str, int], *, now_s: float) -> None:
        """Take a new list and the versions' shares; what is known of workers that stay is kept."""
        by_version: dict[str, list[Worker]] = {}
        for worker in workers:
            if worker.version in shares:
                by_version.setdefault(worker.version, []).append(worker)
        old = self._balancers
        self._balancers = {version: old.get(version) or self._template.emptied() for version in by_version}
        for version, members in by_version.items():
            self._balancers[version].replace(members, now_s=now_s)
        weights = {version: shares[version] for version in by_version}
        if weights != self._weights:
            self._weights, self._gains = weights, dict.fromkeys(weights, 0)
            self._pass_turns()

    def pick(self, *, now_s: float, exclude: Collection[Worker] = ()) -> Worker | None:
        """The worker to ask now: one of the version whose turn it is, else of another; None if there is none."""
        if not self._balancers:
            return None
        first = self._turn()
        refusing = None
        for version in (first, *(other for other in self._balancers if other != first)):
            balancer = self._balancers[version]
            worker = balancer.pick(now_s=now_s, exclude=exclude)
            if worker is not None and not balancer.all_refuse:
                return worker
            refusing = refusing or worker
        return refusing

    def began(self, worker: Worker, now_s: float) -> None:
        """An attempt on a worker begins."""
        balancer = self._balancers.get(worker.version)
        if balancer is not None:
            balancer.began(worker, now_s)

    def ended(self, worker: Worker, *, now_s: float, took_s: float, outcome: Outcome) -> None:
        """The attempt has ended after `took_s`; each `began` needs one `ended`."""
        balancer = self._balancers.get(worker.version)
        if balancer is not None:
            balancer.ended(worker, now_s=now_s, took_s=took_s, outcome=outcome)

    def _turn(self) -> str:
        gains, total = self._gains, 0
        for version, weight in self._weights.items():
            gains[version] += weight
            total += weight
        chosen = max(gains, key=gains.__getitem__)
        gains[chosen] -= total
        return chosen

    def _pass_turns(self) -> None:
        total = sum(self._weights.values())
        for _ in range(self._chance.randrange(min(total, _HEAD_START_AT_MOST)) if total else 0):
            self._turn()
