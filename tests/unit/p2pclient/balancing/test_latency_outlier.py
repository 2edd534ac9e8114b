"""Slow workers are told from equal ones, by what they take beside the others, and forgiven when they recover."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.balancing.balancer import Balancer
from p2pclient.balancing.latency_outlier import FORGET_S, PROBE_S, SLOW, LatencyOutlier, MedianLatency
from p2pclient.balancing.outlier_ejection import Outcome
from p2pclient.types import Worker

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=25, deadline=None)

seeds = st.integers(0, 2**32).map(random.Random)
slower = st.floats(5, 1000)


def fleet(count: int, chance: random.Random) -> tuple[Balancer, list[Worker]]:
    workers = [Worker("classify", f"w{number}", "127.0.0.1", 9000 + number) for number in range(count)]
    balancer = Balancer(chance=chance)
    balancer.replace(workers, now_s=0)
    return balancer, workers


def ask(balancer: Balancer, now_s: float, times_s: dict[Worker, float], outcome: Outcome = Outcome.OK) -> Worker:
    """One call, answered before the next one is made."""
    picked = balancer.pick(now_s=now_s)
    assert picked is not None
    balancer.began(picked, now_s)
    balancer.ended(picked, now_s=now_s + times_s[picked], took_s=times_s[picked], outcome=outcome)
    return picked


@in_moderation
@given(count=st.integers(2, 12), unit_s=st.floats(0.001, 10), chance=seeds)
def test_equal_workers_are_never_slow(count, unit_s, chance):
    """Times that scatter by less than the factor leave everybody's at 1, whatever the order of answers."""
    median, members = MedianLatency(), [LatencyOutlier() for _ in range(count)]
    for call in range(200):
        member, took_s = chance.choice(members), unit_s * chance.uniform(1, 0.99 * SLOW)
        median.take(member, took_s)
        assert not member.record(took_s, median.value_s, now_s=call, answered=True)
    assert {member.factor for member in members} == {1.0}


@in_moderation
@given(count=st.integers(2, 12), rush=st.floats(2, 1000), chance=seeds)
def test_a_rush_makes_nobody_slow_for_long(count, rush, chance):
    """All become slower at once, and quick again: afterwards, no worker has less than three quarters of its share."""
    balancer, workers = fleet(count, chance)
    now_s, got = 0.0, dict.fromkeys(workers, 0)
    for call in range(300 * count):  # so many that chance decides little
        now_s += 0.1
        part = rush if call // (5 * count) % 2 else 1.0
        got[ask(balancer, now_s, dict.fromkeys(workers, 0.001 * part))] += 1
    assert min(got.values()) >= 225


@in_moderation
@given(count=st.integers(2, 12), times=slower, hangs=st.booleans(), chance=seeds)
def test_a_slow_worker_is_only_probed(count, times, hangs, chance):
    """Told after two answers at most; then asked after 2 s, 4 s, 8 s and every 10 s. Likewise if it is given up."""
    balancer, workers = fleet(count, chance)
    times_s = dict.fromkeys(workers, 0.002) | {workers[0]: 0.002 * times}
    asked_s = []
    for call in range(6000):
        now_s = call / 100
        picked = balancer.pick(now_s=now_s)
        assert picked is not None
        balancer.began(picked, now_s)
        outcome = Outcome.NEUTRAL if hangs and picked is workers[0] else Outcome.OK
        balancer.ended(picked, now_s=now_s + times_s[picked], took_s=times_s[picked], outcome=outcome)
        if picked is workers[0]:
            asked_s.append(now_s)
    assert len(asked_s) <= 2 + 3 + 60 / FORGET_S
    pauses_s = [later - earlier for earlier, later in pairwise(asked_s)]
    assert all(pause_s >= PROBE_S - 0.1 for pause_s in pauses_s[2:])
    assert all(pause_s <= FORGET_S + times_s[workers[0]] + 0.1 for pause_s in pauses_s)


@in_moderation
@given(count=st.integers(2, 12), times=slower, slow_for_s=st.floats(1, 100), chance=seeds)
def test_a_worker_that_recovers_is_found_out(count, times, slow_for_s, chance):
    """At most 10 s after it is quick again (and after what it owed) it is asked, and has its share at once."""
    balancer, workers = fleet(count, chance)
    quick_s = dict.fromkeys(workers, 0.002)
    slow_s = quick_s | {workers[0]: 0.002 * times}
    now_s = 0.0
    while now_s < slow_for_s:
        now_s += 0.02
        ask(balancer, now_s, slow_s)
    end_s = now_s + FORGET_S + slow_s[workers[0]] + 0.1
    while ask(balancer, now_s, quick_s) is not workers[0]:
        now_s += 0.02
        assert now_s < end_s
    got = [ask(balancer, now_s + 0.1, quick_s) for _ in range(100 * count)]
    assert got.count(workers[0]) >= 90


@in_moderation
@given(times=st.floats(5, 8), chance=seeds)
def test_a_slow_worker_helps_when_the_others_are_busy(times, chance):
    """Told to be slow, it has work as soon as the others have so many times more requests in flight."""
    balancer, workers = fleet(4, chance)
    for call in range(500):
        ask(balancer, call / 100, dict.fromkeys(workers, 0.01) | {workers[0]: 0.01 * times})
    in_flight = dict.fromkeys(workers, 0)
    for _ in range(200):
        picked = balancer.pick(now_s=5.0)
        assert picked is not None
        balancer.began(picked, 5.0)
        in_flight[picked] += 1
    assert 200 / 3 / 10 <= in_flight[workers[0]] <= 200 / 3 / 2


def test_a_single_long_answer_of_a_proven_worker_is_no_verdict():
    """One answer that met with a pause of the client's does not make slow who has answered well before."""
    median, members = MedianLatency(), [LatencyOutlier(), LatencyOutlier(), LatencyOutlier()]
    for call in range(12):
        median.take(members[call % 3], 0.01)
        members[call % 3].record(0.01, median.value_s, now_s=call, answered=True)
    median.take(members[0], 3.0)
    assert not members[0].record(3.0, median.value_s, now_s=20, answered=True)
    assert not members[0].slow


def test_a_quick_failure_is_not_quick():
    """An attempt that failed fast says nothing of a worker's time, neither for nor against it."""
    member = LatencyOutlier()
    for call in range(10):
        assert not member.record(0.001, 1.0, now_s=call, answered=False)
    assert member.record(30.0, 1.0, now_s=20, answered=True)  # as the first thing that is known of it
    assert member.slow
