"""What takes a worker out of a client's rotation, for how long, and what brings it back."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.balancing import outlier_ejection
from p2pclient.balancing.balancer import Balancer
from p2pclient.balancing.outlier_ejection import EjectionState, Outcome, Status
from p2pclient.types import Worker

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=25, deadline=None)

draws = st.floats(0, 1, exclude_max=True)
seeds = st.integers(0, 2**32).map(random.Random)


def workers(count: int) -> list[Worker]:
    return [Worker("classify", f"w{i}", "127.0.0.1", 9000 + i, boot=f"b{i}") for i in range(count)]


def balance_of(count: int, chance: random.Random) -> tuple[Balancer, list[Worker]]:
    balancer, members = Balancer(subset=None, chance=chance), workers(count)
    balancer.replace(members, now_s=0)
    return balancer, members


def end(balancer: Balancer, worker: Worker, outcome: Outcome, *, now_s: float, times: int = 1) -> None:
    for _ in range(times):
        balancer.began(worker, now_s)
        balancer.ended(worker, now_s=now_s, took_s=0.0, outcome=outcome)


def asked(balancer: Balancer, *, now_s: float, outcome: Outcome = Outcome.NEUTRAL) -> set[Worker]:
    """All that get one of 300 calls."""
    chosen = set()
    for _ in range(300):
        picked = balancer.pick(now_s=now_s)
        assert picked is not None
        end(balancer, picked, outcome, now_s=now_s)
        chosen.add(picked)
    return chosen


def recorded(state: EjectionState, outcome: Outcome, now_s: float, draw: float = 0.5) -> bool:
    return outlier_ejection.record(state, outcome, began_s=now_s, now_s=now_s, draw=draw, ejectable=True)


@in_moderation
@given(outcomes=st.lists(st.sampled_from([Outcome.OK, Outcome.FAILED, Outcome.NEUTRAL]), max_size=40), draw=draws)
def test_five_failures_in_a_row_eject_and_nothing_less(outcomes, draw):
    """A worker is ejected exactly when the fifth failure comes without an answer between; neutral ones do not count."""
    state, row = EjectionState(), 0
    for outcome in outcomes:
        moved = recorded(state, outcome, 0.0, draw)
        row = 0 if outcome is Outcome.OK else row + (outcome is Outcome.FAILED)
        assert moved == (row == 5)
        if moved:
            break
    assert (state.status is Status.EJECTED) == (row == 5)


@in_moderation
@given(times=st.integers(1, 20), draw=draws)
def test_each_ejection_is_longer_up_to_five_minutes(times, draw):
    """The nth ejection in quick succession lasts 30 x n seconds, at most 300, up to a fifth less by chance."""
    state, now_s = EjectionState(), 0.0
    for _ in range(times):
        for _ in range(5):
            recorded(state, Outcome.FAILED, now_s, draw)
        lasts_s = state.back_s - now_s
        assert not outlier_ejection.readmit(state, state.back_s - 0.001)
        now_s = state.back_s
        assert outlier_ejection.readmit(state, now_s)
    whole_s = min(300, 30 * times)
    assert 0.8 * whole_s - 0.001 <= lasts_s <= whole_s + 0.001


@in_moderation
@given(behaved_s=st.floats(0, 200))
def test_old_ejections_are_forgotten(behaved_s):
    """Each 10 s that a worker is back take one earlier ejection off its account."""
    state = EjectionState(ejections=5, returned_s=1000.0)
    for _ in range(5):
        recorded(state, Outcome.FAILED, 1000.0 + behaved_s)
    assert state.ejections == max(0, 5 - int(behaved_s / 10)) + 1


@in_moderation
@given(count=st.integers(1, 60), chance=seeds)
def test_few_are_ejected_at_one_time(count, chance):
    """However many fail, at most a tenth of the members are out for it, but at least one."""
    balancer, members = balance_of(count, chance)
    for member in members:
        end(balancer, member, Outcome.FAILED, now_s=1, times=7)
    out = count - len(balancer.in_rotation)
    assert out == (max(1, count // 10) if count > 1 else 0)  # the only one is used all the same


@in_moderation
@given(count=st.integers(2, 30), killed=st.integers(1, 29), chance=seeds)
def test_refused_workers_are_out_at_once_however_many(count, killed, chance):
    """One refusal is enough, and none of them is asked again within the next second while others are there."""
    killed = min(killed, count - 1)
    balancer, members = balance_of(count, chance)
    for member in members[:killed]:
        end(balancer, member, Outcome.REFUSED, now_s=1)
    assert asked(balancer, now_s=1.8) == set(members[killed:])


@in_moderation
@given(chance=seeds)
def test_a_refused_worker_is_probed_by_one_request_at_a_time(chance):
    """After a second exactly one call tries it; refused again it waits longer; an answer brings it back."""
    balancer, (dead, *_) = balance_of(4, chance)
    end(balancer, dead, Outcome.REFUSED, now_s=0)
    probes = []
    for tenth in range(1, 101):
        now_s = tenth / 10
        for _ in range(3):
            if balancer.pick(now_s=now_s) == dead:
                probes.append(now_s)
                end(balancer, dead, Outcome.REFUSED, now_s=now_s)
    assert 3 <= len(probes) <= 4  # after about 1, 3, 7 s and so on
    assert 0.9 <= probes[0] <= 1.2
    assert all(later - earlier > 1.5 for earlier, later in pairwise(probes))
    while balancer.pick(now_s=100) != dead:
        pass
    end(balancer, dead, Outcome.OK, now_s=100)
    assert dead in balancer.in_rotation


@in_moderation
@given(chance=seeds)
def test_a_probe_respects_the_workers_already_tried(chance):
    """A refused worker whose time has come is not given to a call that has tried it before."""
    balancer, (dead, other) = balance_of(2, chance)
    end(balancer, dead, Outcome.REFUSED, now_s=0)
    assert balancer.pick(now_s=5, exclude={dead}) == other
    assert balancer.pick(now_s=5, exclude=[other]) == dead


@in_moderation
@given(chance=seeds)
def test_an_answer_to_an_older_request_brings_nobody_back(chance):
    """A request that began before the refusal may still be answered over its open connection: that proves nothing."""
    balancer, (leaving, _) = balance_of(2, chance)
    balancer.began(leaving, 0)
    end(balancer, leaving, Outcome.REFUSED, now_s=1)
    balancer.ended(leaving, now_s=1.5, took_s=1.5, outcome=Outcome.OK)
    assert leaving not in balancer.in_rotation


@in_moderation
@given(chance=seeds)
def test_all_refused_are_all_used_and_the_first_answer_counts(chance):
    """With nobody left everyone is tried again; whoever answers is in rotation at once, alone."""
    balancer, members = balance_of(6, chance)
    for member in members:
        end(balancer, member, Outcome.REFUSED, now_s=0)
    assert asked(balancer, now_s=0.1, outcome=Outcome.REFUSED) == set(members)
    end(balancer, members[3], Outcome.OK, now_s=0.2)
    assert balancer.in_rotation == [members[3]]


@in_moderation
@given(chance=seeds)
def test_panic_uses_all_that_are_there(chance):
    """Fewer than half of the reachable in rotation: the ejected are used too, the refused are not."""
    balancer, members = balance_of(30, chance)
    failing = members[:3]
    for member in failing:
        end(balancer, member, Outcome.FAILED, now_s=1, times=5)
    assert not set(failing) & set(balancer.in_rotation)
    balancer.replace(members[:5], now_s=2)  # now 2 of 5 are in rotation
    end(balancer, members[4], Outcome.REFUSED, now_s=2)
    assert asked(balancer, now_s=2) == set(members[:4])


@in_moderation
@given(chance=seeds)
def test_an_ejected_worker_returns_by_itself(chance):
    """After its time an ejected worker is picked again without anybody asking for it."""
    balancer, members = balance_of(3, chance)
    end(balancer, members[0], Outcome.FAILED, now_s=0, times=5)
    assert asked(balancer, now_s=23) == set(members[1:])
    assert asked(balancer, now_s=31) == set(members)
