"""The usual time of an answer: exact enough, and of the latest answers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.retrying.latency_quantile import ENOUGH, KEPT, LatencyQuantile

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=50, deadline=None)


@in_moderation
@given(times=st.lists(st.floats(0.0001, 100), max_size=300))
def test_it_is_the_95th_percentile_so_far(times):
    """None before enough answers; then exactly that of the answers so far, or of at least 9 in 10 of them."""
    quantile = LatencyQuantile()
    for took_s in times:
        quantile.observe(took_s)
    usual_s = quantile.usual_s()
    count = len(times)
    lately = range(max(ENOUGH, count - count // 10), count + 1)
    assert (usual_s is None) == (count < ENOUGH)
    assert usual_s is None or usual_s in [sorted(times[:n])[int(0.95 * n)] for n in lately]


def test_it_follows_a_change_and_memory_is_bounded():
    """After as many answers as are kept, only the new times count."""
    quantile = LatencyQuantile()
    for _ in range(3 * KEPT):
        quantile.observe(0.1)
    assert quantile.usual_s() == 0.1
    for _ in range(2 * KEPT):
        quantile.observe(2.0)
    assert quantile.usual_s() == 2.0
    for _ in range(2 * KEPT):
        quantile.observe(0.5)
    assert quantile.usual_s() == 0.5
    assert len(quantile._recent) == KEPT
