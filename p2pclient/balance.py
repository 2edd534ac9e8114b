"""Which worker gets the next request: workers in, picks out; pure, no I/O, no clock.

Two members are drawn at random, by weight, and the less loaded one is taken ("two choices": M. Mitzenmacher,
IEEE TPDS 12(10), 2001; with weighted draws as in HAProxy's `random(2)`): nearly as even as asking all, and
clients that see the same loads do not all run to the same worker. Of two that are equally loaded the one
whose turn it is goes first, so that an idle fleet is used as evenly as by a rotation. What changes seldom
(membership, ejections, slow start) is worked out when it changes; a pick costs the same for any number of members.

All times are seconds of one monotonic clock.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Collection, Sequence
from itertools import accumulate
from math import exp, inf
from typing import Literal

from p2pclient import ejection
from p2pclient.ejection import Outcome, Place, Standing
from p2pclient.subset import SIZE, Subset
from p2pclient.types import Worker

Policy = Literal["two_choices", "peak_ewma"]
POLICIES: tuple[Policy, ...] = ("two_choices", "peak_ewma")

SLOW_START_S = 30.0
SLOW_START_LEAST = 0.1
DECAY_S = 10.0

# How often the shares of members in their slow start are brought up to date: in steps of a percent or so.
_RAMP_STEP_S = 0.25

# How many of its turns a member may be ahead or behind: what it missed while it was slow or out is not made up for.
_SLACK_TURNS = 4.0

# The latency of a member that has been asked but has not answered yet: more than any.
_UNKNOWN_S = 1e6

_SERVING = ("passing", "warning")


class Balance:
    """The members of one service as one client sees them.

    `policy`: "two_choices" compares requests in flight by weight, "peak_ewma" multiplies them with the
    time that answers take (see `_Member.expected_s`), for workers that are unlike each other. `subset`:
    so many of the workers are used (None: all), more once this client has more than half as many requests
    in flight: a lone client is not to be bound to 20 of 100 workers. `chance` draws; tests pass a seeded one.
    """

    def __init__(
        self,
        *,
        policy: Policy = "two_choices",
        subset: int | None = SIZE,
        slow_start_s: float = SLOW_START_S,
        chance: random.Random | None = None,
    ) -> None:
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}")
        self._by_latency = policy == "peak_ewma"
        self._slow_start_s = slow_start_s
        self._chance = chance or random.Random()
        self._subset = Subset(salt=self._chance.randbytes(16))
        self._size = subset
        self._in_flight = 0
        self._room: float = inf  # more in flight than this want more members
        self._listed: dict[Worker, float] = {}  # all that serve, and when they appeared
        self._members: dict[Worker, _Member] = {}
        self._in: list[_Member] = []
        self._cumulated: list[float] | None = None  # shares of `_in`, summed up; None: all are equal
        self._total = 0.0
        self._refused: list[_Member] = []
        self._review_s = inf  # when something changes by itself
        self._probe_s = inf  # when the first of the refused may be probed
        self._turn = 0.0  # virtual time: requests begun for each unit of share

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

    def replace(self, workers: Sequence[Worker], *, now_s: float) -> None:
        """Take a new list; those who stay keep their record, newcomers (but not the first ones) start slowly.

        Left out are workers that do not serve (critical, in maintenance) and those beyond the subset.
        """
        serving = [worker for worker in workers if worker.health in _SERVING]
        appeared_s = now_s if self._members else -inf
        self._listed = {worker: self._listed.get(worker, appeared_s) for worker in serving}
        self._choose(now_s)

    def _choose(self, now_s: float) -> None:
        """Make the members those of the subset."""
        chosen = self._subset.of(list(self._listed), size=self._size)
        old, self._members = self._members, {}
        for worker in chosen:
            member = old.get(worker) or _Member(self._listed[worker], self._turn)
            member.worker = worker  # weight and health may have changed
            self._members[worker] = member
        self._in_flight = sum(member.in_flight for member in self._members.values())
        self._room = inf if self._size is None or len(chosen) == len(self._listed) else self._size / 2
        self._review(now_s)

    def pick(self, *, now_s: float, exclude: Collection[Worker] = ()) -> Worker | None:
        """The worker to ask now; None if there is none in rotation outside `exclude`.

        A refused worker whose time has come is tried with this one request. If fewer than half of those
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
        return self._better_of_two(among, shares, now_s).worker

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
        if self._in_flight > self._room and self._size is not None:
            self._size *= 2
            self._choose(now_s)

    def ended(self, worker: Worker, *, now_s: float, took_s: float, outcome: Outcome) -> None:
        """The attempt has come to its end after `took_s`; each `began` wants one `ended`."""
        member = self._members.get(worker)
        if member is None:
            return
        if member.in_flight:  # the worker may have gone and come back since
            member.in_flight -= 1
            self._in_flight -= 1
        if self._by_latency and outcome is not Outcome.REFUSED:
            member.observe(took_s, now_s, answered=outcome is Outcome.OK)
        standing = member.standing
        if outcome is Outcome.OK and standing.place is Place.IN:
            standing.failures = 0  # the usual case, without a call
        elif ejection.judge(
            standing,
            outcome,
            began_s=now_s - took_s,
            now_s=now_s,
            draw=self._chance.random(),
            ejectable=ejection.may_eject(self._ejected(), len(self._members)),
        ):
            self._review(now_s)

    def _better_of_two(self, among: list[_Member], shares: list[float] | None, now_s: float) -> _Member:
        first, second = self._two(len(among), shares)
        a, b = among[first], among[second]
        if self._by_latency:
            load_a, load_b = a.expected_s(now_s) * b.worker.weight, b.expected_s(now_s) * a.worker.weight
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

    def _probe(self, now_s: float, exclude: Collection[Worker]) -> _Member | None:
        """A refused member that may be tried again, if there is one; its next time is later."""
        due = [member for member in self._refused if now_s >= member.standing.back_s]
        probed = next((member for member in due if member.worker not in exclude), None)
        if probed is not None:
            ejection.probe(probed.standing, now_s, self._chance.random())
            self._probe_s = min(member.standing.back_s for member in self._refused)
        return probed

    def _ejected(self) -> int:
        return sum(member.standing.place is Place.EJECTED for member in self._members.values())

    def _review(self, now_s: float) -> None:
        """Work out anew who is in rotation, with which share, and when that changes by itself."""
        members = list(self._members.values())
        for member in members:
            ejection.come_back(member.standing, now_s)
            member.share = member.worker.weight * self._ramp(member, now_s)
        self._refused = [member for member in members if member.standing.place is Place.REFUSED]
        there = [member for member in members if member.standing.place is not Place.REFUSED] or members
        trusted = [member for member in there if member.standing.place is Place.IN]
        self._in = there if 2 * len(trusted) < len(there) else trusted
        shares = [member.share for member in self._in]
        self._total = sum(shares)
        self._cumulated = list(accumulate(shares)) if len(set(shares)) > 1 else None
        ejected = [member.standing.back_s for member in members if member.standing.place is Place.EJECTED]
        ramping = any(self._ramp(member, now_s) < 1.0 for member in members)
        self._review_s = min([*ejected, now_s + _RAMP_STEP_S] if ramping else ejected, default=inf)
        self._probe_s = min((member.standing.back_s for member in self._refused), default=inf)

    def _ramp(self, member: _Member, now_s: float) -> float:
        """The part of its weight that a member has by now: from a tenth, linearly, to all of it."""
        age_s = now_s - member.ramp_from_s
        return 1.0 if age_s >= self._slow_start_s else max(SLOW_START_LEAST, age_s / self._slow_start_s)


class _Member:
    """One worker, what it has to do for this client, and how it has done."""

    __slots__ = ("due", "in_flight", "latency_s", "ramp_from_s", "seen_s", "share", "standing", "worker")

    worker: Worker

    def __init__(self, ramp_from_s: float, due: float) -> None:
        self.in_flight = 0
        self.share = 1.0
        self.due = due  # virtual time of its next turn
        self.ramp_from_s = ramp_from_s
        self.standing = Standing()
        self.latency_s = 0.0  # as of `seen_s`
        self.seen_s = 0.0

    def observe(self, took_s: float, now_s: float, *, answered: bool) -> None:
        """Peak EWMA (Finagle's): a slower answer counts in full at once, faster ones take `DECAY_S` to.

        A failure counts only if it took longer than answers do: one that fails fast is not fast.
        """
        if took_s > self.latency_s:
            self.latency_s = took_s
        elif answered:
            kept = exp((self.seen_s - now_s) / DECAY_S)
            self.latency_s = kept * self.latency_s + (1.0 - kept) * took_s
        else:
            return
        self.seen_s = now_s

    def expected_s(self, now_s: float) -> float:
        """Seconds that a request more would take: the latency x those in flight, this one included.

        The latency is forgotten as time passes, but not while an answer is owed: a worker that has come to
        a halt would look better and better. A member without a record is tried with one request, and with
        more only when all others are worse.
        """
        if self.in_flight:
            return (self.latency_s or _UNKNOWN_S) * (self.in_flight + 1)
        return self.latency_s * exp((self.seen_s - now_s) / DECAY_S)
