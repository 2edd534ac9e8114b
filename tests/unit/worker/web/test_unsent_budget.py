"""Bytes that wait to be sent are bounded over all connections: the one that holds most is closed."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from worker.web.unsent_budget import UnsentBudget


@dataclass(eq=False)
class Transport:
    """A connection with so many unsent bytes."""

    size: int
    aborted: bool = field(default=False)

    def get_write_buffer_size(self) -> int:
        return self.size

    def abort(self) -> None:
        self.aborted = True


def test_the_largest_is_closed_until_the_others_fit() -> None:
    """Small connections are left alone where a large one holds more."""
    budget = UnsentBudget(100)
    small, large = Transport(30), Transport(60)
    budget.add(small)
    budget.add(large)
    assert not large.aborted
    budget.add(Transport(20))
    assert (small.aborted, large.aborted, budget.held_bytes) == (False, True, 50)


def test_sizes_are_those_of_now() -> None:
    """A connection that has sent most of its bytes meanwhile is not taken for the largest."""
    budget = UnsentBudget(100)
    quick, slow = Transport(90), Transport(50)
    budget.add(quick)
    quick.size = 10
    budget.add(slow)
    assert (quick.aborted, slow.aborted, budget.held_bytes) == (False, False, 60)


def test_one_response_may_be_larger_than_the_bound() -> None:
    """A single connection is never closed for its size."""
    budget = UnsentBudget(100)
    alone = Transport(500)
    budget.add(alone)
    assert not alone.aborted
    budget.remove(alone)
    assert budget.held_bytes == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 80), st.booleans()), max_size=60))
def test_the_bound_holds_whatever_comes(steps: list[tuple[int, int, bool]]) -> None:
    """After each step the connections that are left hold no more than the bound, or are one."""
    budget, transports = UnsentBudget(100), [Transport(0) for _ in range(10)]
    known: set[int] = set()
    for number, size, leaves in steps:
        transport = transports[number]
        if leaves:
            budget.remove(transport)
            known.discard(number)
        else:
            transport.size, transport.aborted = size, False
            budget.add(transport)
            known.add(number)
        known = {each for each in known if not transports[each].aborted}
        held = sum(transports[each].size for each in known)
        assert budget.held_bytes == held
        assert held <= 100 or len(known) == 1
