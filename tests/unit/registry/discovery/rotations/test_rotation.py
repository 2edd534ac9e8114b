"""What the rotation promises, for any number of workers, any weights and any changes."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from registry.discovery.rotations.rotation import Rotation
from registry.instances.instance import Instance

seeds = st.integers(0, 2**32).map(random.Random)


def worker(name: object, weight: int = 1) -> Instance:
    return Instance("classify", f"w{name}", "127.0.0.1", 9000, weight=weight)


def picks(rotation: Rotation, count: int) -> list[str]:
    chosen = [rotation.next() for _ in range(count)]
    return [c.id for c in chosen if c is not None]


@given(n=st.integers(1, 50), weight=st.integers(1, 100), offset=st.integers(0, 200), chance=seeds)
def test_any_n_consecutive_picks_of_n_equal_workers_differ(
    n: int, weight: int, offset: int, chance: random.Random
) -> None:
    """Among N equal workers, every window of N picks names all N."""
    rotation = Rotation([worker(i, weight) for i in range(n)], chance=chance)
    picks(rotation, offset)
    sequence = picks(rotation, 3 * n)
    assert all(len(set(sequence[i : i + n])) == n for i in range(2 * n))


@given(weights=st.lists(st.integers(1, 12), min_size=1, max_size=8), chance=seeds)
def test_shares_follow_weights(weights: list[int], chance: random.Random) -> None:
    """After many whole cycles each worker's share is its weight's, to within one pick a ring and cycle end."""
    rotation = Rotation([worker(i, w) for i, w in enumerate(weights)], chance=chance)
    cycles = 20
    counts = Counter(picks(rotation, cycles * sum(weights)))
    for i, weight in enumerate(weights):
        assert abs(counts[f"w{i}"] - cycles * weight) <= len(weights) + 1


@given(heavy=st.integers(2, 20), light=st.integers(1, 6), chance=seeds)
def test_a_heavy_worker_is_never_bunched(heavy: int, light: int, chance: random.Random) -> None:
    """One heavy worker among light ones never comes more often in a row than its share asks for."""
    rotation = Rotation([worker("heavy", heavy), *(worker(i) for i in range(light))], chance=chance)
    sequence = picks(rotation, 10 * (heavy + light))
    longest = max(len(list(run)) for name, run in itertools.groupby(sequence) if name == "wheavy")
    assert longest <= -(-heavy // light) + 1


def test_one_one_four_has_no_four_in_a_row() -> None:
    """Weights 1, 1, 4 never hand out the heavy worker four times in a row, across cycle ends too."""
    rotation = Rotation([worker("a"), worker("b"), worker("c", 4)], chance=random.Random(1))
    assert "wcwcwcwc" not in "".join(picks(rotation, 600))


@given(
    sets=st.lists(st.sets(st.integers(0, 9), min_size=1), min_size=1, max_size=30),
    between=st.integers(1, 3),
    chance=seeds,
)
def test_changes_starve_no_worker(sets: list[set[int]], between: int, chance: random.Random) -> None:
    """However the membership changes, a worker that stays is picked at least once in every N + joins picks."""
    stayer = worker("stays")
    rotation = Rotation([stayer], chance=chance)
    since = 0
    for members in sets:
        rotation.replace([stayer, *(worker(i) for i in members)])
        for name in picks(rotation, between):
            since = 0 if name == stayer.id else since + 1
            assert since <= 11


@given(n=st.integers(2, 20), joins=st.integers(1, 5), before=st.integers(0, 60), chance=seeds)
def test_a_change_does_not_restart_the_rotation(n: int, joins: int, before: int, chance: random.Random) -> None:
    """Who had just been picked when newcomers join waits for all others first."""
    old = [worker(i) for i in range(n)]
    rotation = Rotation(old, chance=chance)
    last = picks(rotation, before + 1)[-1]
    rotation.replace(old + [worker(f"new{j}") for j in range(joins)])
    assert last not in picks(rotation, n - 1)


@given(n=st.integers(1, 30), count=st.integers(1, 40), chance=seeds)
def test_take_gives_different_workers(n: int, count: int, chance: random.Random) -> None:
    """`take(count)` gives that many different workers, or all of them if there are fewer."""
    rotation = Rotation([worker(i, 1 + i % 3) for i in range(n)], chance=chance)
    taken = rotation.take(count)
    assert len({t.id for t in taken}) == len(taken) == min(n, count)


def test_processes_start_at_different_places() -> None:
    """Fresh rotations over the same workers do not all begin with the same one."""
    members = [worker(i) for i in range(10)]
    firsts = {picks(Rotation(members), 1)[0] for _ in range(200)}
    assert len(firsts) > 5


def test_an_empty_rotation_has_no_next() -> None:
    """Without workers there is no next one, and with the first worker there is."""
    rotation = Rotation([])
    assert rotation.next() is None
    assert rotation.take(3) == []
    rotation.replace([worker(1)])
    assert picks(rotation, 2) == ["w1", "w1"]


def test_a_changed_instance_replaces_the_old_value() -> None:
    """An instance that keeps its id and changes its port is handed out with the new port."""
    rotation = Rotation([worker(1), worker(2)])
    rotation.replace([worker(1), Instance("classify", "w2", "127.0.0.1", 9999)])
    assert {i.port for i in rotation.take(2)} == {9000, 9999}


@given(
    weights=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    excluded=st.sets(st.integers(0, 7)),
    offset=st.integers(0, 50),
    chance=seeds,
)
def test_excluded_workers_lose_their_turns(
    weights: list[int], excluded: set[int], offset: int, chance: random.Random
) -> None:
    """The others are handed out by their weights among themselves, and afterwards nobody has a debt of turns."""
    rotation = Rotation([worker(i, w) for i, w in enumerate(weights)], chance=chance)
    picks(rotation, offset)
    left = {f"w{i}": w for i, w in enumerate(weights) if i not in excluded}
    ids = {f"w{i}" for i in excluded}
    chosen = [rotation.next_except(ids) for _ in range(20 * sum(left.values()))]
    counts = Counter(c.id for c in chosen if c is not None)
    assert counts.keys() <= left.keys()
    if not left:
        assert rotation.next_except(ids) is None
    cycle = sum(weights)
    after = Counter(picks(rotation, 5 * cycle))
    for i, weight in enumerate(weights):
        assert abs(after[f"w{i}"] - 5 * weight) <= 2 * len(weights) + 2


class CountingSet(set[str]):
    """A set that counts how often it was asked."""

    asked = 0

    def __contains__(self, item: object) -> bool:
        self.asked += 1
        return super().__contains__(item)


def test_passing_over_a_heavy_worker_costs_nothing() -> None:
    """An excluded worker with the largest weight has 65,535 turns before the next one's: they are not walked."""
    rotation = Rotation([worker("heavy", 65_535), worker("light", 1)])
    excluded = CountingSet({"wheavy"})
    for _ in range(10):
        chosen = rotation.next_except(excluded)
        assert chosen is not None
        assert chosen.id == "wlight"
    assert excluded.asked <= 10 * 4


def rotation_of(weights: list[int], seed: int, *, steps: int) -> Rotation:
    members = [Instance("classify", f"w{n}", "127.0.0.1", 9000, weight=w) for n, w in enumerate(weights)]
    rotation = Rotation(members, chance=random.Random(seed))
    for _ in range(steps):
        rotation.next()
    return rotation


@given(
    weights=st.lists(st.integers(1, 9), max_size=9),
    seed=st.integers(0, 9999),
    steps=st.integers(0, 50),
    count=st.integers(0, 12),
)
def test_ahead_names_each_in_the_order_of_its_next_turn(weights: list[int], seed: int, steps: int, count: int) -> None:
    """Whatever the weights and the turns before: the workers in the order in which each would first be picked."""
    rotation, other = rotation_of(weights, seed, steps=steps), rotation_of(weights, seed, steps=steps)
    picked = [other.next() for _ in range(10 * len(weights) if weights else 0)]
    first_picks = list(dict.fromkeys(p for p in picked if p is not None))
    assert rotation.ahead(count) == first_picks[:count]


@given(weights=st.lists(st.integers(1, 9), min_size=1, max_size=9), seed=st.integers(0, 9999))
def test_ahead_uses_up_no_turn(weights: list[int], seed: int) -> None:
    """Who was first ahead is handed out next, and looking changes nothing for those after."""
    watched, other = rotation_of(weights, seed, steps=3), rotation_of(weights, seed, steps=3)
    for _ in range(20):
        first = watched.ahead(4)[0]
        assert watched.next() == first == other.next()
