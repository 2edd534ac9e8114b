"""What the client's balancing promises, for any number of workers, any weights and any course of events."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.balancing.balancer import Balancer
from p2pclient.balancing.outlier_ejection import Outcome
from p2pclient.types import Worker

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=25, deadline=None)

seeds = st.integers(0, 2**32).map(random.Random)


def worker(name: object, weight: int = 1, health: str = "passing") -> Worker:
    return Worker("classify", f"w{name}", "127.0.0.1", 9000, boot=f"b{name}", weight=weight, health=health)


def ask(balancer: Balancer, now_s: float, outcome: Outcome = Outcome.OK, took_s: float = 0.01) -> Worker:
    """One call whose answer comes before the next call."""
    chosen = balancer.pick(now_s=now_s)
    assert chosen is not None
    balancer.began(chosen, now_s)
    balancer.ended(chosen, now_s=now_s + took_s, took_s=took_s, outcome=outcome)
    return chosen


def shares(balancer: Balancer, count: int, now_s: float = 0.0) -> Counter[str]:
    return Counter(ask(balancer, now_s).id for _ in range(count))


events = st.lists(
    st.tuples(
        st.sampled_from(["call", "end", "list"]),
        st.integers(0, 30),
        st.sampled_from(Outcome),
        st.floats(0, 40),
    ),
    max_size=60,
)


@in_moderation
@given(subset=st.sampled_from([None, 3, 20]), events=events, chance=seeds)
def test_a_pick_is_a_serving_member_whenever_there_is_one(subset, events, chance):
    """Whatever came and went, failed or hung: as long as one worker is listed, somebody is picked, and listed."""
    balancer = Balancer(subset=subset, chance=chance)
    listed: list[Worker] = []
    under_way: list[tuple[Worker, float]] = []
    now_s = 0.0
    for what, number, outcome, passed_s in events:
        now_s += passed_s
        if what == "list":
            known = [worker(i, 1 + i % 3, "critical" if i % 5 == 4 else "passing") for i in range(number)]
            chance.shuffle(known)
            balancer.replace(known, now_s=now_s)
            listed = [w for w in known if w.health == "passing"]
        elif what == "end" and under_way:
            ended, began_s = under_way.pop(number % len(under_way))
            balancer.ended(ended, now_s=now_s, took_s=now_s - began_s, outcome=outcome)
        picked = balancer.pick(now_s=now_s)
        assert (picked in listed) if listed else (picked is None)
        if picked is not None:
            balancer.began(picked, now_s)
            under_way.append((picked, now_s))


@in_moderation
@given(count=st.integers(1, 25), excluded=st.sets(st.integers(0, 24)), chance=seeds)
def test_a_retry_goes_to_another_worker(count, excluded, chance):
    """Nobody of `exclude` is picked; None once all are excluded."""
    balancer = Balancer(subset=None, chance=chance)
    balancer.replace([worker(i, 1 + i % 2) for i in range(count)], now_s=0)
    exclude = {worker(i) for i in excluded}
    picked = balancer.pick(now_s=0, exclude=exclude)
    left = {worker(i) for i in range(count)} - exclude
    assert (picked in left) if left else (picked is None)


@in_moderation
@given(count=st.integers(2, 20), chance=seeds)
def test_idle_workers_are_used_as_evenly_as_by_a_rotation(count, chance):
    """One call after another: after 100 a worker, none has had 10% more or fewer than its share."""
    balancer = Balancer(chance=chance)
    balancer.replace([worker(i) for i in range(count)], now_s=0)
    counts = shares(balancer, 100 * count)
    assert all(90 <= counts[f"w{i}"] <= 110 for i in range(count))


@in_moderation
@given(weights=st.lists(st.integers(1, 5), min_size=2, max_size=10), chance=seeds)
def test_shares_follow_weights(weights, chance):
    """One call after another: each worker's share is its weight's to within 10%."""
    balancer = Balancer(chance=chance)
    balancer.replace([worker(i, w) for i, w in enumerate(weights)], now_s=0)
    per_unit = 200
    counts = shares(balancer, per_unit * sum(weights))
    for i, weight in enumerate(weights):
        assert 0.9 * per_unit * weight <= counts[f"w{i}"] <= 1.1 * per_unit * weight


def test_twenty_clients_and_ten_workers_are_even():
    """A fleet of clients with 8 requests in flight each: the busiest worker has at most 1.15 x the idlest's requests.

    The workers are equal and their times scatter by half; nobody but each client itself counts its requests.
    """
    chance = random.Random(5)
    counts: Counter[str] = Counter()
    for _ in range(20):
        balancer = Balancer(chance=random.Random(chance.random()))
        balancer.replace([worker(i) for i in range(10)], now_s=0)
        under_way: list[tuple[float, float, Worker]] = []
        now_s = 0.0
        for _ in range(500):
            if len(under_way) == 8:
                under_way.sort(key=lambda one: one[0])
                now_s, began_s, done = under_way.pop(0)
                balancer.ended(done, now_s=now_s, took_s=now_s - began_s, outcome=Outcome.OK)
            picked = balancer.pick(now_s=now_s)
            assert picked is not None
            balancer.began(picked, now_s)
            under_way.append((now_s + chance.uniform(0.05, 0.15), now_s, picked))
            counts[picked.id] += 1
    assert max(counts.values()) <= 1.15 * min(counts.values())


@in_moderation
@given(chance=seeds)
def test_a_hung_worker_gets_few_requests(chance):
    """A worker that answers nothing is avoided by its requests in flight alone: at most 2 of 100 calls wait for it."""
    balancer = Balancer(chance=chance)
    balancer.replace([worker(i) for i in range(4)], now_s=0)
    hung = 0
    for call in range(100):
        picked = balancer.pick(now_s=call / 100)
        assert picked is not None
        balancer.began(picked, call / 100)
        if picked.id == "w0":
            hung += 1
        else:
            balancer.ended(picked, now_s=call / 100 + 0.005, took_s=0.005, outcome=Outcome.OK)
    assert hung <= 2


@in_moderation
@given(age_s=st.floats(0, 60), chance=seeds)
def test_a_newcomer_starts_slowly(age_s, chance):
    """Its share grows from a tenth to all of it in 30 s, whether it joins at once with others or alone."""
    balancer = Balancer(chance=chance)
    balancer.replace([worker(i) for i in range(4)], now_s=0)
    balancer.replace([worker(i) for i in range(5)], now_s=100)
    part = max(0.1, min(1.0, age_s / 30))
    counts = shares(balancer, 2000, now_s=100 + age_s)
    expected = 2000 * part / (4 + part)
    assert abs(counts["w4"] - expected) <= 0.1 * expected + 5


@in_moderation
@given(count=st.integers(2, 8), chance=seeds)
def test_the_first_list_starts_at_once(count, chance):
    """The members of the first list are no newcomers: all have their whole share, also after an empty list."""
    balancer = Balancer(chance=chance)
    balancer.replace([], now_s=0)
    balancer.replace([worker(i) for i in range(count)], now_s=1)
    counts = shares(balancer, 100 * count, now_s=1)
    assert min(counts.values()) >= 90


@in_moderation
@given(chance=seeds)
def test_a_change_of_weight_or_health_keeps_the_record(chance):
    """A worker whose weight changes keeps its requests in flight and does not start anew; a critical one leaves."""
    balancer = Balancer(chance=chance)
    first, second = worker(1), worker(2)
    balancer.replace([first, second], now_s=0)
    for _ in range(9):
        balancer.began(first, 0)
    balancer.replace([replace(first, weight=3), second], now_s=50)
    assert ask(balancer, 50).id == "w2"  # 9 in flight at weight 3 are more than none
    assert {w.id: w.weight for w in balancer.workers} == {"w1": 3, "w2": 1}
    balancer.replace([replace(first, health="critical"), second], now_s=60)
    assert balancer.workers == [second]


def test_a_worker_that_returns_is_not_flooded():
    """A worker that was out gets its share again, not what it missed: no 3 calls in a row among equals."""
    balancer = Balancer(chance=random.Random(3))
    everyone = [worker(i) for i in range(5)]
    balancer.replace(everyone, now_s=0)
    balancer.ended(everyone[0], now_s=0, took_s=0.0, outcome=Outcome.REFUSED)
    shares(balancer, 1000, now_s=0.5)
    assert "w0" in shares(balancer, 1, now_s=2)  # the probe, which brings it back
    assert shares(balancer, 100, now_s=2)["w0"] <= 28


@in_moderation
@given(chance=seeds)
def test_a_busy_client_uses_more_than_its_subset(chance):
    """20 of 100 workers for few requests; with many in flight there are at least twice as many workers, or all."""
    balancer = Balancer(chance=chance)
    balancer.replace([worker(i) for i in range(100)], now_s=0)
    assert len(shares(balancer, 2000)) == 20
    for under_way in range(1, 70):
        picked = balancer.pick(now_s=1)
        assert picked is not None
        balancer.began(picked, 1)
        assert len(balancer) >= min(100, 2 * under_way)
    assert len(shares(balancer, 1000, now_s=1)) >= 90  # at once: they are not new


@in_moderation
@given(chance=seeds)
def test_a_newcomer_of_the_subset_is_new_only_if_the_worker_is(chance):
    """A worker that has been listed for long and takes a free place in the subset has its whole share at once."""
    balancer = Balancer(subset=4, chance=chance)
    everyone = [worker(i) for i in range(8)]
    balancer.replace(everyone, now_s=0)
    gone = balancer.workers[0]
    balancer.replace([w for w in everyone if w != gone], now_s=100)
    assert min(shares(balancer, 400, now_s=100).values()) >= 90


@in_moderation
@given(chance=seeds, most=st.integers(11, 60), left=st.integers(1, 50))
def test_a_subset_that_was_widened_is_narrowed_again(chance, most, left):
    """A busy client's subset is its own 20 again after two quiet minutes, also if most workers left and came back."""
    balancer = Balancer(chance=chance)
    everyone = [worker(i) for i in range(100)]
    balancer.replace(everyone, now_s=0)
    own = set(balancer.workers)
    under_way = []
    for _ in range(most):
        picked = balancer.pick(now_s=1)
        assert picked is not None
        balancer.began(picked, 1)
        under_way.append(picked)
    assert own < set(balancer.workers)
    balancer.replace(everyone[:left], now_s=2)
    balancer.replace(everyone, now_s=3)
    for picked in under_way:
        balancer.ended(picked, now_s=4, took_s=3, outcome=Outcome.OK)
    for now_s in (70, 140, 210):
        balancer.pick(now_s=now_s)
    assert set(balancer.workers) == own
