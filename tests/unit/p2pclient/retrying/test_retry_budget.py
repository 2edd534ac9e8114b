"""The retry budget: bounded, and fair to a client that has few calls."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.retrying.retry_budget import RetryBudget

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=50, deadline=None)

steps = st.lists(st.tuples(st.booleans(), st.floats(0, 3), st.integers(1, 40)), max_size=80)


@in_moderation
@given(start_s=st.floats(0, 1e6), steps=steps)
def test_extra_attempts_keep_to_the_budget(start_s, steps):
    """Each is within a fifth of the calls and 10 for each second, of the last 10 s and of all that came before."""
    budget, now_s = RetryBudget(), start_s
    calls: list[float] = []
    taken: list[float] = []
    for is_call, passed_s, times in steps:
        now_s += passed_s
        for _ in range(times):
            if is_call:
                budget.request(now_s)
                calls.append(now_s)
            elif budget.take(now_s):
                taken.append(now_s)
                lasted_s = int(now_s) - int(start_s) + 1
                first = int(now_s) - 9
                recent, recent_calls = (sum(t >= first for t in times) for times in (taken, calls))
                assert recent <= 0.2 * recent_calls + 10 * min(10, lasted_s)
                assert len(taken) <= 0.2 * len(calls) + 10 * 10 * -(-lasted_s // 10)


@in_moderation
@given(start_s=st.floats(0, 1e6), calls=st.integers(0, 500))
def test_the_budget_gives_what_it_promises(start_s, calls):
    """At once 10 and a fifth of the calls, not one fewer; a second later 10 more; after 10 quiet s 100."""
    budget, start_s = RetryBudget(), float(int(start_s))
    for _ in range(calls):
        budget.request(start_s)
    assert sum(budget.take(start_s) for _ in range(500)) == 10 + calls // 5
    assert sum(budget.take(start_s + 1) for _ in range(500)) == 10
    assert sum(budget.take(start_s + 30) for _ in range(500)) == 100
