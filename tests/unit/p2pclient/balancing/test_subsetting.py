"""A client's own choice of workers: bounded, steady and different from other clients'."""

from __future__ import annotations

from collections import Counter
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.balancing.subsetting import Subset, SubsetSize
from p2pclient.types import Worker

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=50, deadline=None)

salts = st.binary(min_size=1, max_size=16)
ids = st.lists(st.integers(0, 500).map(lambda number: f"w{number}"), unique=True, max_size=60)


def workers(ids: list[str]) -> list[Worker]:
    return [Worker("classify", name, "127.0.0.1", 9000) for name in ids]


@in_moderation
@given(salt=salts, ids=ids, size=st.integers(1, 30))
def test_all_if_few_else_so_many(salt, ids, size):
    """All workers while they are few enough, else exactly `size` of them, none twice."""
    chosen = Subset(salt=salt).of(workers(ids), size=size)
    assert len(set(chosen)) == len(chosen) == min(size, len(ids))
    assert set(chosen) <= set(workers(ids))


@in_moderation
@given(salt=salts, ids=ids, size=st.integers(1, 30), order=st.randoms())
def test_the_order_of_the_list_does_not_matter(salt, ids, size, order):
    """The same workers in another order give the same subset, also to a client that has seen other lists."""
    experienced = Subset(salt=salt)
    experienced.of(workers([*ids, "another"]), size=size)
    shuffled = workers(ids)
    order.shuffle(shuffled)
    assert set(experienced.of(shuffled, size=size)) == set(Subset(salt=salt).of(workers(ids), size=size))


@in_moderation
@given(salt=salts, ids=ids.filter(bool), size=st.integers(1, 30), which=st.integers(0, 59))
def test_a_change_of_one_worker_changes_one_place(salt, ids, size, which):
    """When one worker leaves, at most its place is given to another; the rest of the subset stays."""
    subset = Subset(salt=salt)
    before = set(subset.of(workers(ids), size=size))
    left = [name for name in ids if name != ids[which % len(ids)]]
    after = set(subset.of(workers(left), size=size))
    assert len(before - after) <= 1
    assert len(after - before) <= 1


@in_moderation
@given(salt=salts, ids=ids, size=st.integers(1, 30), more=st.integers(0, 30))
def test_a_wider_subset_keeps_the_narrower_one(salt, ids, size, more):
    """Widening adds workers and takes none away."""
    subset = Subset(salt=salt)
    assert set(subset.of(workers(ids), size=size)) <= set(subset.of(workers(ids), size=size + more))


def test_many_clients_use_every_worker():
    """200 clients that each use 20 of 100 workers: each worker has about 40 of them (between 20 and 60)."""
    everyone = workers([f"w{number}" for number in range(100)])
    counts = Counter(w for client in range(200) for w in Subset(salt=client.to_bytes(2, "big")).of(everyone))
    assert len(counts) == 100
    assert 20 <= min(counts.values()) <= max(counts.values()) <= 60


@in_moderation
@given(base=st.integers(1, 30), steps=st.lists(st.tuples(st.floats(0, 100), st.integers(0, 500)), max_size=40))
def test_the_width_follows_what_is_in_flight(base, steps):
    """Always at least twice the requests in flight; back at what it was once these have been few for two minutes."""
    width, now_s = SubsetSize(base), 0.0
    for passed_s, in_flight in steps:
        now_s += passed_s
        if in_flight > width.busiest:
            width.grow(in_flight, now_s)
        if now_s >= width.review_s:
            width.shrink(in_flight, now_s)
        assert width.size >= max(base, 2 * in_flight)
    for _ in range(2):
        if width.review_s < inf:
            width.shrink(0, now_s := width.review_s)
    assert width.size == base
    assert width.review_s == inf


def test_a_width_without_a_limit_has_none():
    """None means all, however busy the client is."""
    width = SubsetSize(None)
    assert not width.grow(1000, 0.0)
    assert not width.shrink(0, 1e9)
    assert width.size is None
