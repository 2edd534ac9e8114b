"""A client's own choice of workers: bounded, steady and different from other clients'."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.subset import Subset
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
