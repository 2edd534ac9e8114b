"""Turns of callers: one image each, in the order of their own, and no caller waits for more than its share."""

from __future__ import annotations

from collections import OrderedDict, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from worker.batching.fair_queue import FairQueue

Item = tuple[str, int]

CALLERS = st.sampled_from(["", "alice", "bob", "carol"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), CALLERS, st.integers(0, 5)),
        st.tuples(st.just("pop"), st.just(""), st.integers(1, 4)),
        st.tuples(st.just("discard"), CALLERS, st.integers(0, 30)),
    ),
    max_size=60,
)


def filled(**counts: int) -> FairQueue[Item]:
    queue: FairQueue[Item] = FairQueue()
    for caller, count in counts.items():
        queue.add(caller, [(caller, number) for number in range(count)])
    return queue


def drained(queue: FairQueue[Item]) -> list[Item]:
    return [queue.pop() for _ in range(len(queue))]


def test_one_caller_is_served_in_order() -> None:
    assert drained(filled(alice=5)) == [("alice", number) for number in range(5)]


def test_callers_take_turns() -> None:
    """A caller with one image is not behind the ten of another one."""
    assert [caller for caller, _ in drained(filled(greedy=10, modest=2))][:5] == [
        "greedy", "modest", "greedy", "modest", "greedy",
    ]  # fmt: skip


def test_who_comes_back_waits_for_one_turn_of_each_other() -> None:
    queue = filled(greedy=9, other=9)
    for number in range(3):
        queue.add("modest", [("modest", number)])
        assert [queue.pop()[0] for _ in range(3)] == ["greedy", "other", "modest"]


def test_what_is_discarded_leaves_no_turn() -> None:
    queue = filled(greedy=3, modest=1)
    queue.discard("modest", ("modest", 0))
    queue.discard("modest", ("modest", 0))
    queue.discard("nobody", ("nobody", 7))
    assert (len(queue), [caller for caller, _ in drained(queue)]) == (3, ["greedy"] * 3)


def test_a_cleared_queue_is_empty() -> None:
    queue = filled(greedy=3, modest=1)
    assert set(queue) == {("greedy", 0), ("greedy", 1), ("greedy", 2), ("modest", 0)}
    queue.clear()
    assert (len(queue), list(queue)) == (0, [])


@given(STEPS)
def test_nothing_is_lost_and_each_caller_keeps_its_order(steps: list[tuple[str, str, int]]) -> None:
    """Against a plain list per caller: the same items, the right length, each caller's first item whenever it is due.

    A queue with items always gives one (it is work-conserving).
    """
    queue: FairQueue[Item] = FairQueue()
    waiting: defaultdict[str, OrderedDict[Item, None]] = defaultdict(OrderedDict)
    made = 0
    for kind, caller, number in steps:
        if kind == "add":
            items = [(caller, made + each) for each in range(number)]
            made += number
            queue.add(caller, items)
            waiting[caller].update(dict.fromkeys(items))
        elif kind == "discard":
            queue.discard(caller, (caller, number))
            waiting[caller].pop((caller, number), None)
        else:
            for _ in range(min(number, len(queue))):
                item = queue.pop()
                assert item == next(iter(waiting[item[0]]))
                del waiting[item[0]][item]
        assert len(queue) == sum(map(len, waiting.values()))
        assert set(queue) == {item for items in waiting.values() for item in items}


@given(st.dictionaries(CALLERS, st.integers(1, 30), min_size=1), st.lists(CALLERS, max_size=30))
def test_nobody_starves(counts: dict[str, int], arriving: list[str]) -> None:
    """Between two images of a caller that has more, each other caller gets one at most, whoever keeps on sending."""
    queue, made = filled(**{f"c{caller}": count for caller, count in counts.items()}), 100
    since: defaultdict[str, list[str]] = defaultdict(list)
    more = iter(arriving)
    while len(queue):
        caller, _ = queue.pop()
        for other, seen in since.items():
            if other != caller:
                seen.append(caller)
        assert len(since[caller]) == len(set(since[caller]))
        since[caller].clear()
        left = {name for name, _ in queue}
        for gone in set(since) - left:
            del since[gone]
        if (name := next(more, None)) is not None:
            queue.add(f"c{name}", [(f"c{name}", made)])
            made += 1


@given(st.dictionaries(CALLERS, st.integers(1, 12)), CALLERS, st.integers(1, 5))
def test_what_is_ahead_is_what_leaves_before(counts: dict[str, int], caller: str, more: int) -> None:
    """The number is right, or larger by the others that would have had their turn after the caller's last one."""
    queue: FairQueue[Item] = FairQueue()
    for name, count in counts.items():
        queue.add(name, [(name, number) for number in range(count)])
    said = queue.ahead_of(caller, more)
    queue.add(caller, [(caller, 100 + number) for number in range(more)])
    order = drained(queue)
    ahead = order.index((caller, 100 + more - 1)) - (more - 1)
    assert ahead <= said <= ahead + max(0, len(counts) - 1)
    if set(counts) <= {caller}:
        assert said == ahead
