"""The batcher's policy: batch sizes, expected waits and refusals as plain numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.batching.padding import padded_size
from worker.batching.policy import (
    CAP_TOLERANCE,
    SURPRISE_AT_MOST,
    Capacity,
    NextBatch,
    Pace,
    Share,
    Streams,
    batch_size,
    crowded,
    expected_wait_s,
    learn_pace,
    next_batch,
    refusal,
    slowdown,
)

PACE = Pace(cap=8, batch_s=0.08, single_s=0.03)


@pytest.mark.parametrize(
    ("seconds", "cap"),
    [
        ({1: 0.010}, 1),
        ({1: 0.010, 2: 0.020, 4: 0.040}, 1),
        ({1: 0.010, 2: 0.012, 4: 0.020, 8: 0.0398}, 4),
        ({1: 0.010, 2: 0.012, 4: 0.020, 8: 0.030}, 8),
    ],
)
def test_the_cap_is_the_smallest_batch_near_the_best(seconds: dict[int, float], cap: int) -> None:
    """A larger batch is taken only for more than the tolerance in throughput."""
    assert learn_pace(seconds).cap == cap


@given(st.dictionaries(st.sampled_from([1, 2, 4, 8, 16]), st.floats(0.001, 1.0)).filter(lambda d: 1 in d))
def test_the_cap_is_within_the_tolerance_of_the_best(seconds: dict[int, float]) -> None:
    """Whatever was measured, the chosen batch gives nearly the best measured throughput."""
    pace = learn_pace(seconds)
    best = max(size / s for size, s in seconds.items())
    assert pace.cap / pace.batch_s >= best * (1 - CAP_TOLERANCE)


def test_the_expected_wait_counts_what_is_before() -> None:
    """An idle worker answers in one prediction; work before it adds its share of full batches."""
    assert expected_wait_s(PACE, ahead=0) == pytest.approx(0.03)
    assert expected_wait_s(PACE, ahead=24) == pytest.approx(0.27)


def test_crowded_has_a_gap() -> None:
    """A queue is crowded from four fifths on and stays so until two fifths: no flapping at the edge."""
    states = []
    before = False
    for queued in (79, 80, 79, 41, 40, 39, 60, 79):
        before = crowded(queued=queued, most=100, before=before)
        states.append(before)
    assert states == [False, True, True, True, True, False, False, False]


def test_the_estimate_follows_a_worker_that_is_slower_than_at_load() -> None:
    """Full batches that take twice as long as measured at load make the estimate twice as long, within a dozen."""
    slower = 1.0
    for _ in range(12):
        slower = slowdown(slower, PACE, images=8, took_s=0.16)
    assert expected_wait_s(PACE, ahead=8, slower=slower) == pytest.approx(0.22, rel=0.05)


@given(known=st.floats(0.1, 10), took_s=st.floats(0, 1e9), images=st.integers(1, 8))
def test_one_batch_never_says_more_than_it_can(known: float, took_s: float, images: int) -> None:
    """Whatever one batch took (a process may be stopped for a day), the estimate moves a bounded part towards it."""
    after = slowdown(known, PACE, images=images, took_s=took_s)
    assert 0.7 * known <= after <= known * (1 + (SURPRISE_AT_MOST - 1) / 4 + 1e-9)
    assert slowdown(known, PACE, images=images, took_s=known * PACE.seconds(images)) == pytest.approx(known)


def test_slowness_is_not_held_against_a_worker_without_work() -> None:
    """Where nothing waits, the estimate is that of the load: only an answer can show that slowness is over."""
    assert expected_wait_s(PACE, ahead=0, slower=50.0) == pytest.approx(0.03)
    assert expected_wait_s(PACE, ahead=0, slower=0.5) == pytest.approx(0.015)


def test_a_batch_between_those_measured_lies_on_the_line() -> None:
    """Seconds by size are a straight line through one image and the cap; of a cap of one, multiples."""
    assert [PACE.seconds(size) for size in (1, 8)] == pytest.approx([0.03, 0.08])
    assert Pace(cap=1, batch_s=0.1, single_s=0.1).seconds(3) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("queued", "sizes", "size"),
    [
        (3, (), 3),
        (20, (), 8),
        (3, (1, 2, 4, 8), 3),
        (5, (1, 4, 8), 4),
        (7, (1, 4, 8), 7),
        (2, (1, 8), 1),
        (20, (1, 4, 8), 8),
    ],
)
def test_a_batch_takes_all_up_to_the_cap_unless_padding_costs_more(
    queued: int, sizes: tuple[int, ...], size: int
) -> None:
    """Without fixed sizes all up to the cap; with them, what answers most images a second."""
    assert batch_size(PACE, queued=queued, sizes=sizes) == size


@given(queued=st.integers(1, 100), sizes=st.sets(st.integers(1, 8)), cap=st.integers(1, 8))
def test_a_batch_is_never_empty_nor_above_the_cap(queued: int, sizes: set[int], cap: int) -> None:
    """At least one image, at most what is queued and the cap, and padding only grows it."""
    pace = Pace(cap=cap, batch_s=0.01 * cap, single_s=0.01)
    size = batch_size(pace, queued=queued, sizes=sorted(sizes))
    assert 1 <= size <= min(queued, cap)
    assert padded_size(size, sorted(sizes)) >= size


STREAMS = replace(PACE, cap=4, batch_s=0.032, single_s=0.008, streams=Streams(2, Pace(2, 0.024, 0.012)))
"""8 ms an image on all cores, whatever the batch; 12 ms an image in each of two streams: 6 ms where many wait."""


@pytest.mark.parametrize(
    ("queued", "coming", "running", "images", "stream"),
    [
        (1, 0, 0, 1, False),  # 8 ms alone, 12 ms in a stream
        (1, 1, 0, 1, True),  # another is on its way: both are answered in 12 ms instead of 16
        (2, 0, 0, 1, True),
        (1, 0, 1, 1, True),
        (3, 0, 0, 2, True),
        (3, 0, 1, 2, True),
        (9, 0, 0, 2, True),
    ],
)
def test_all_cores_for_one_or_one_core_for_each(
    queued: int, coming: int, running: int, images: int, stream: bool
) -> None:
    """All cores run one batch only while nothing else runs and all images are answered sooner that way."""
    found = next_batch(STREAMS, queued=queued, coming=coming, running=running, sizes=())
    assert found == NextBatch(images, stream=stream)


@given(
    queued=st.integers(1, 100),
    coming=st.integers(0, 9),
    running=st.integers(0, 3),
    count=st.integers(2, 16),
    cap=st.integers(1, 8),
    quicker=st.floats(0.1, 10),
)
def test_a_batch_on_any_cores_is_never_empty_nor_above_a_cap(
    queued: int, coming: int, running: int, count: int, cap: int, quicker: float
) -> None:
    """At least one image, at most what is queued and the cap; never all cores while another batch runs."""
    each = Pace(cap=cap, batch_s=0.01 * cap, single_s=0.01)
    pace = Pace(cap=8, batch_s=0.08 / quicker, single_s=0.01 / quicker, streams=Streams(count, each))
    found = next_batch(pace, queued=queued, coming=coming, running=running, sizes=())
    assert 1 <= found.images <= min(queued, cap if found.stream else 8)
    assert found.stream or not running


def test_streams_are_used_only_where_they_answer_more() -> None:
    """Two streams of 10 ms an image are preferred to 6 ms an image on all cores, but not to 4 ms."""
    streams = Streams(2, Pace(1, 0.010, 0.010))
    assert learn_pace({1: 0.006}, streams=streams).streams == streams
    assert learn_pace({1: 0.004}, streams=streams).streams is None


def test_the_wait_in_streams_is_told_by_what_all_of_them_do() -> None:
    """Behind others an image moves on by 6 ms an image and takes 12 ms itself; alone it takes 8 ms."""
    assert expected_wait_s(STREAMS, ahead=0) == pytest.approx(0.008)
    assert expected_wait_s(STREAMS, ahead=10) == pytest.approx(10 * 0.006 + 0.012)


NONE = Capacity(0, 0)
ROOM = Capacity(images=10, nbytes=1000)


@pytest.mark.parametrize(
    ("waiting", "more", "left_s", "reason", "retry_after_s"),
    [
        (NONE, Capacity(1, 10), 5, None, None),
        (NONE, Capacity(64, 9000), 5, None, None),
        (Capacity(9, 0), Capacity(1, 0), 5, None, None),
        (Capacity(9, 0), Capacity(2, 0), 5, "queue", 2),
        (Capacity(1, 990), Capacity(1, 10), 5, None, None),
        (Capacity(1, 990), Capacity(1, 11), 5, "memory", 2),
        (Capacity(1, 10), Capacity(1, 10), 1.5, "deadline", 0.5),
        (NONE, Capacity(1, 10), -1, "deadline", 2),
    ],
)
def test_who_is_refused_and_why(
    waiting: Capacity, more: Capacity, left_s: float, reason: str | None, retry_after_s: float | None
) -> None:
    """No room in images or in bytes, or too late; where nothing waits there is room for any one request."""
    refused = refusal(ROOM, waiting=waiting, more=more, wait_s=2.0, left_s=left_s)
    assert (refused and refused.reason, refused and refused.retry_after_s) == (reason, retry_after_s)


@pytest.mark.parametrize(
    ("waits", "more", "share", "admitted"),
    [
        (10, 1, Share(images=0, callers=2), True),
        (10, 5, Share(images=0, callers=2), True),
        (10, 1, Share(images=5, callers=2), False),
        (10, 1, Share(images=10, callers=1), False),
        (14, 4, Share(images=1, callers=2), True),
        (17, 4, Share(images=0, callers=2), False),
        (17, 3, Share(images=0, callers=3), True),
        (20, 1, Share(images=0, callers=9), False),
    ],
)
def test_a_caller_within_its_share_finds_room(waits: int, more: int, share: Share, admitted: bool) -> None:
    """Others cannot keep a caller out by filling the room; twice the room is the most for all of them together."""
    waiting = Capacity(waits, 0)
    refused = refusal(ROOM, waiting=waiting, more=Capacity(more, 0), wait_s=2.0, left_s=5.0, share=share)
    assert (refused is None) is admitted
