"""Which worker gets the next request: workers in, picks out; pure, no I/O, no clock.

Two members are drawn at random, by weight, and the less loaded one is taken ("two choices": M. Mitzenmacher,
IEEE TPDS 12(10), 2001; with weighted draws as in HAProxy's `random(2)`): nearly as even as asking all, and
clients that see the same loads do not all pick the same worker. One that is much slower than the others
(`latency_outlier`) counts as so many times more loaded. Of two that are equally loaded, the one whose turn it is
is picked, so that an idle fleet is used as evenly as by a rotation. What changes seldom (membership, ejections, slow
start) is worked out when it changes; a pick costs the same for any number of members.

All times are seconds of one monotonic clock.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Collection, Sequence
from itertools import accumulate
from math import inf

from p2pclient.balancing import outlier_ejection
from p2pclient.balancing.latency_outlier import MedianLatency
from p2pclient.balancing.outlier_ejection import Outcome, Status
from p2pclient.balancing.subsetting import SIZE, Subset, SubsetSize
from p2pclient.balancing.worker_state import WorkerState
from p2pclient.types import Worker

SLOW_START_S = 30.0
SLOW_START_LEAST = 0.1

# How often the shares of members in their slow start are brought up to date: in steps of a percent or so.
_RAMP_STEP_S = 0.25

# How many of its turns a member may be ahead or behind: what it missed while it was slow or out is not made up for.
_SLACK_TURNS = 4.0


class Balancer:
    """The members of one service as one client sees them.

    Compared are requests in flight by weight, times how much slower than the others a worker is if it is much
    slower. `subset`: so many of the workers are used (None: all), more once this client has more than half as many
    requests in flight: a lone client is not to be bound to 20 of 100 workers. `slow_start_s`: for so long a new
    worker gets less than its share. `chance` draws; tests pass a seeded one.
    """

    def __init__(
        self,
        *,
        subset: int | None = SIZE,
        slow_start_s: float = SLOW_START_S,
        chance: random.Random | None = None,
    ) -> None:
        self._slow_start_s = slow_start_s
        self._subset_size = subset
        self._chance = chance or random.Random()
        self._subset = Subset(salt=self._chance.randbytes(16))
        self._width = SubsetSize(subset)
        self._in_flight = 0
        self._listed: dict[Worker, float] = {}  # all that serve, and when they appeared
        self._members: dict[Worker, WorkerState] = {}
        self._in: list[WorkerState] = []
        self._cumulated: list[float] | None = None  # shares of `_in`, summed up; None: all are equal
        self._total = 0.0
        self._refused: list[WorkerState] = []
        self._review_s = inf  # when something changes by itself
        self._slow: list[WorkerState] = []
        self._probe_s = inf  # when the first of the refused, or of the slow, may be probed
        self._turn = 0.0  # virtual time: requests begun per unit of share
        self._median = MedianLatency()

    def __len__(self) -> int:
        return len(self._members)

    @property
    def workers(self) -> Sequence[Worker]:
        """All members, whether in rotation or not."""
        return [member.worker for member in self._members.values()]

    @property
    def in_rotation(self) -> Sequence[Worker]:
        """Those that are picked from, as of the last change."""
        return [member.worker for member in self._in]

    @property
    def all_refuse(self) -> bool:
        """Whether there are members and all of them refuse connections."""
        return len(self._refused) == len(self._members) > 0

    def emptied(self) -> Balancer:
        """A balancer with the same options and without members."""
        return Balancer(subset=self._subset_size, slow_start_s=self._slow_start_s, chance=self._chance)

    def replace(self, workers: Sequence[Worker], *, now_s: float) -> None:
        """Take a new list; workers that stay keep their record, new ones start slowly, but for those of the first list.

        Left out are workers that do not serve (critical, in maintenance) and those beyond the subset.
        """
        serving = [worker for worker in workers if worker.healthy]
        appeared_s = now_s if self._members else -inf
        self._listed = {worker: self._listed.get(worker, appeared_s) for worker in serving}
        self._choose(now_s)

    def _choose(self, now_s: float) -> None:
        """Make the members those of the subset."""
        chosen = self._subset.of(list(self._listed), size=self._width.size)
        old, self._members = self._members, {}
        for worker in chosen:
            member = old.get(worker) or WorkerState(self._listed[worker], self._turn)
            member.worker = worker  # weight and health may have changed
            self._members[worker] = member
        self._in_flight = sum(member.in_flight for member in self._members.values())
        self._median.reset(member.latency for member in self._members.values())
        self._review(now_s)

    def pick(self, *, now_s: float, exclude: Collection[Worker] = ()) -> Worker | None:
        """The worker to ask now; None if there is none in rotation outside `exclude`.

        A refused worker, or a slow one, whose time has come is tried with this one request. If fewer than half of those
        that can be connected to are in rotation, all of them are (panic: it is more likely the judgement
        that is wrong); if none can be connected to, all members are.
        """
        if now_s >= self._review_s:
            self._review(now_s)
        if now_s >= self._probe_s:
            probed = self._probe(now_s, exclude)
            if probed is not None:
                return probed.worker
        if exclude:
            among = [member for member in self._in if member.worker not in exclude]
            shares = None if self._cumulated is None else list(accumulate(member.share for member in among))
        else:
            among, shares = self._in, self._cumulated
        if not among:
            return None
        return self._better_of_two(among, shares).worker

    def began(self, worker: Worker, now_s: float) -> None:
        """An attempt on a worker begins."""
        member = self._members.get(worker)
        if member is None:
            return
        member.in_flight += 1
        self._in_flight += 1
        stride = 1.0 / member.share
        slack = _SLACK_TURNS * stride
        self._turn += 1.0 / self._total if self._total else 0.0
        member.due = min(max(member.due, self._turn - slack) + stride, self._turn + slack)
        if self._in_flight > self._width.busiest and self._width.grow(self._in_flight, now_s):
            self._choose(now_s)

    def ended(self, worker: Worker, *, now_s: float, took_s: float, outcome: Outcome) -> None:
        """The attempt has ended after `took_s`; each `began` needs one `ended`."""
        member = self._members.get(worker)
        if member is None:
            return
        if member.in_flight:  # the worker may have gone and come back since
            member.in_flight -= 1
            self._in_flight -= 1
        if outcome is not Outcome.REFUSED:
            self._observe(member, took_s, now_s, answered=outcome is Outcome.OK)
        state = member.ejection
        if outcome is Outcome.OK and state.status is Status.IN:
            state.failures = 0  # the usual case, without a call
        elif outlier_ejection.record(
            state,
            outcome,
            began_s=now_s - took_s,
            now_s=now_s,
            draw=self._chance.random(),
            ejectable=outlier_ejection.may_eject(self._ejected(), len(self._members)),
        ):
            self._review(now_s)

    def _observe(self, member: WorkerState, took_s: float, now_s: float, *, answered: bool) -> None:
        """How long the attempt took says something of the member, whether it was answered or given up."""
        if answered:
            self._median.take(member.latency, took_s)
        median_s = self._median.value_s
        if median_s and member.latency.record(took_s, median_s, now_s=now_s, answered=answered):
            self._review(now_s)

    def _better_of_two(self, among: list[WorkerState], shares: list[float] | None) -> WorkerState:
        first, second = self._two(len(among), shares)
        a, b = among[first], among[second]
        if a.latency.factor != b.latency.factor:
            load_a = (a.in_flight + 1) * a.latency.factor * b.worker.weight
            load_b = (b.in_flight + 1) * b.latency.factor * a.worker.weight
        else:
            load_a, load_b = a.in_flight * b.share, b.in_flight * a.share
        if load_a == load_b:
            return a if a.due <= b.due else b
        return a if load_a < load_b else b

    def _two(self, count: int, shares: list[float] | None) -> tuple[int, int]:
        """Two different places out of `count`, by their shares; the same one twice if there is no other."""
        draw = self._chance.random
        if shares is None:
            first = int(draw() * count)
            return first, (first + 1 + int(draw() * (count - 1))) % count
        first = bisect(shares, draw() * shares[-1], hi=count - 1)
        for _ in range(4):
            second = bisect(shares, draw() * shares[-1], hi=count - 1)
            if second != first:
                return first, second
        return first, (first + 1) % count

    def _probe(self, now_s: float, exclude: Collection[Worker]) -> WorkerState | None:
        """A refused member that may be tried again, or a slow one that idles; its next time is later."""
        due = [member for member in self._refused if now_s >= member.ejection.back_s]
        probed = next((member for member in due if member.worker not in exclude), None)
        if probed is not None:
            outlier_ejection.probe(probed.ejection, now_s, self._chance.random())
        elif not exclude:  # a call that has failed once is not used for finding out
            due = [member for member in self._slow if now_s >= member.latency.probe_s]
            for member in due:
                member.latency.probed(now_s)
            probed = next((member for member in due if not member.in_flight), None)
        self._next_probe()
        return probed

    def _next_probe(self) -> None:
        refused = (member.ejection.back_s for member in self._refused)
        self._probe_s = min((*refused, *(member.latency.probe_s for member in self._slow)), default=inf)

    def _ejected(self) -> int:
        return sum(member.ejection.status is Status.EJECTED for member in self._members.values())

    def _review(self, now_s: float) -> None:
        """Work out anew which members are in rotation, with which shares, and when that changes by itself."""
        if self._width.shrink(self._in_flight, now_s):
            self._choose(now_s)
            return
        members = list(self._members.values())
        for member in members:
            outlier_ejection.readmit(member.ejection, now_s)
            member.share = member.worker.weight * self._ramp(member, now_s)
        self._refused = [member for member in members if member.ejection.status is Status.REFUSED]
        there = [member for member in members if member.ejection.status is not Status.REFUSED] or members
        trusted = [member for member in there if member.ejection.status is Status.IN]
        self._in = there if 2 * len(trusted) < len(there) else trusted
        shares = [member.share for member in self._in]
        self._total = sum(shares)
        self._cumulated = list(accumulate(shares)) if len(set(shares)) > 1 else None
        ejected = [member.ejection.back_s for member in members if member.ejection.status is Status.EJECTED]
        ramping = any(self._ramp(member, now_s) < 1.0 for member in members)
        steps = [*ejected, self._width.review_s]
        self._review_s = min([*steps, now_s + _RAMP_STEP_S] if ramping else steps)
        self._slow = [member for member in self._in if member.latency.slow]
        self._next_probe()

    def _ramp(self, member: WorkerState, now_s: float) -> float:
        """The part of its weight that a member has by now: from a tenth, linearly, to all of it."""
        age_s = now_s - member.ramp_from_s
        return 1.0 if age_s >= self._slow_start_s else max(SLOW_START_LEAST, age_s / self._slow_start_s)
