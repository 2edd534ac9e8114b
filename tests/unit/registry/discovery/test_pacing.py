"""The token bucket that limits queries under churn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registry.discovery.pacing import TokenBucket


@given(arrivals=st.lists(st.floats(0, 0.2), min_size=1, max_size=200))
def test_the_bucket_keeps_its_rate(arrivals: list[float]) -> None:
    """However changes arrive, no more than the burst and the rate's share go through in any time."""
    rate_hz, burst, now_s = 50.0, 2.0, 0.0
    bucket = TokenBucket(rate_hz=rate_hz, burst=burst, now_s=now_s)
    through: list[float] = []
    for gap_s in arrivals:
        now_s += gap_s
        now_s += bucket.delay_s(now_s)
        through.append(now_s)
    for first in range(len(through)):
        for last in range(first, len(through)):
            assert last - first + 1 <= burst + (through[last] - through[first]) * rate_hz + 1e-6 + 1


def test_the_bucket_lets_a_lone_change_through() -> None:
    """A change that comes alone waits for nothing."""
    bucket = TokenBucket(rate_hz=50.0, burst=2.0, now_s=0.0)
    assert [bucket.delay_s(t) for t in (1.0, 2.0, 3.0)] == [0, 0, 0]
