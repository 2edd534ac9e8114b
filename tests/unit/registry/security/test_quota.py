"""Quotas: a caller's rate and its places, with the time given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.security.caller import ANONYMOUS, Caller, Quota, Role
from registry.security.quota import BUCKETS_AT_MOST, OverQuota, Quotas, RateBucket


def caller(name: str = "greedy", **quota: float) -> Caller:
    return Caller(name, frozenset({Role.CLIENT}), quota=Quota(**quota))


def test_a_rate_lets_one_second_of_requests_through_at_once():
    """After that, each request waits for its turn, and the refusal says how long."""
    quotas, greedy = Quotas(), caller(rate_hz=4)
    for _ in range(4):
        quotas.take(greedy, now_s=10.0)
    with pytest.raises(OverQuota, match=r"greedy has used its quota of 4 requests per second here") as over:
        quotas.take(greedy, now_s=10.0)
    assert over.value.retry_after_s == pytest.approx(0.25)
    quotas.take(greedy, now_s=10.25)


@given(rate_hz=st.floats(0.1, 1000), steps_s=st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_no_more_than_the_rate_and_one_burst_ever_pass(rate_hz, steps_s):
    """However requests are spread over time, at most a burst and the rate times the time are let through."""
    bucket, now_s, passed = RateBucket(rate_hz, max(1.0, rate_hz), 0.0), 0.0, 0
    for step_s in steps_s:
        now_s += step_s
        passed += bucket.take(now_s) == 0.0
    assert passed <= max(1.0, rate_hz) + rate_hz * now_s + 1e-6


@given(rate_hz=st.floats(0.01, 1000))
def test_who_waits_as_told_gets_through(rate_hz):
    """The time that a refusal names is long enough."""
    bucket = RateBucket(rate_hz, 0.0, 0.0)
    wait_s = bucket.take(0.0)
    assert bucket.take(wait_s * 1.000001) == 0.0


def test_one_caller_does_not_use_up_the_rate_of_another():
    """Each name has a rate of its own; a caller without one is never refused."""
    quotas = Quotas()
    quotas.take(caller("a", rate_hz=1), now_s=0.0)
    quotas.take(caller("b", rate_hz=1), now_s=0.0)
    for _ in range(1000):
        quotas.take(ANONYMOUS, now_s=0.0)


def test_callers_that_are_idle_take_no_memory():
    """A bounded number of rates is kept, and those in use are not forgotten."""
    quotas, busy = Quotas(), caller("busy", rate_hz=1)
    quotas.take(busy, now_s=BUCKETS_AT_MOST * 2.0)
    for number in range(2 * BUCKETS_AT_MOST):
        quotas.take(caller(str(number), rate_hz=1), now_s=float(number))
    assert len(quotas._buckets) <= BUCKETS_AT_MOST
    with pytest.raises(OverQuota):
        quotas.take(busy, now_s=BUCKETS_AT_MOST * 2.0)


def test_a_caller_holds_no_more_than_its_share_of_places():
    """A quarter of 8 places are 2; one that is given back can be had again."""
    quotas, greedy = Quotas(places=8), caller(concurrency=0.25)
    first, second = quotas.place(greedy), quotas.place(greedy)
    with pytest.raises(OverQuota, match="greedy has used its quota of 2 images at a time here") as over:
        quotas.place(greedy)
    assert (over.value.retry_after_s, quotas.held("greedy")) == (1.0, 2)
    assert first is not None
    first.release()
    assert quotas.place(greedy) is not None
    assert second is not None
    second.release()


def test_each_image_of_a_request_takes_a_place():
    """Many images in one request count as much as many requests."""
    quotas, greedy = Quotas(places=8), caller(concurrency=0.5)
    other, several = quotas.place(greedy), quotas.place(greedy)
    assert several is not None
    several.hold(3)
    with pytest.raises(OverQuota):
        several.hold(4)
    assert quotas.held("greedy") == 4
    several.release()
    assert other is not None
    other.release()
    assert quotas.held("greedy") == 0


def test_a_request_that_is_larger_than_the_share_is_answered_by_itself():
    """It would never fit, so that asking again would not help: it waits for the caller's others only."""
    quotas, greedy = Quotas(places=8), caller(concurrency=0.25)
    alone = quotas.place(greedy)
    assert alone is not None
    alone.hold(64)
    with pytest.raises(OverQuota):
        quotas.place(greedy)
    alone.release()
    assert quotas.held("greedy") == 0


def test_without_a_quota_no_place_is_counted():
    """A caller without a share costs nothing."""
    assert Quotas(places=8).place(ANONYMOUS) is None
