"""Properties of the retry decisions: bounded in number, in time, and kind to workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pclient.errors import P2PError
from p2pclient.failures import Failure, Trouble
from p2pclient.retrying import retry_policy
from p2pclient.types import Worker

troubles = st.sampled_from(Trouble)
of_workers = st.sampled_from([Trouble.GONE, Trouble.FAILED])
of_lookups = st.sampled_from([Trouble.NO_LOOKUP, Trouble.NO_WORKER])
counts = st.integers(1, 2000)
seconds = st.floats(0, 1000)
draws = st.floats(0, 1, exclude_max=True)


@given(troubles, counts, counts, st.floats(-1, 1000), draws, st.floats(0, 1e9), st.floats(0, 1000), st.booleans())
def test_no_wait_reaches_the_deadline(trouble, failures, attempts, left_s, draw, retry_after_s, waited_s, reached):
    """Whatever went wrong, a wait is never negative and leaves time for the try that follows it."""
    wait_s = retry_policy.decide(
        trouble,
        failures=failures,
        attempts=attempts,
        left_s=left_s,
        draw=draw,
        retry_after_s=retry_after_s,
        waited_s=waited_s,
        reached=reached,
    )
    assert wait_s is None or 0 <= wait_s < left_s


@given(of_workers, counts, counts, draws)
def test_workers_are_asked_at_most_so_often(trouble, failures, attempts, draw):
    """With all the time in the world, a request is tried again exactly while attempts remain."""
    wait_s = retry_policy.decide(trouble, failures=failures, attempts=attempts, left_s=1e9, draw=draw)
    assert (wait_s is not None) == (failures < attempts)


@given(counts, counts, seconds, draws)
def test_what_another_try_cannot_change_is_final(failures, attempts, left_s, draw):
    """An image that is at fault, or a service that does not exist, is never tried again."""
    final = retry_policy.decide(Trouble.FINAL, failures=failures, attempts=attempts, left_s=left_s, draw=draw)
    assert final is None


@given(counts, counts, draws, seconds)
def test_nobody_there_is_no_attempt(failures, attempts, draw, waited_s):
    """Workers that could not be reached are passed over at once, however many, if others have been before."""
    wait_s = retry_policy.decide(
        Trouble.REFUSED, failures=failures, attempts=attempts, left_s=1e9, draw=draw, waited_s=waited_s, reached=True
    )
    assert wait_s == 0


@given(st.integers(2, 2000), draws)
def test_a_missing_worker_is_replaced_at_once_but_only_once(attempts, draw):
    """The first refused connection costs no wait; the second one does, at most 0.2 s."""
    first = retry_policy.decide(Trouble.GONE, failures=1, attempts=attempts + 1, left_s=1e9, draw=draw)
    second = retry_policy.decide(Trouble.GONE, failures=2, attempts=attempts + 1, left_s=1e9, draw=draw)
    assert first == 0
    assert second == draw * 0.2


@given(st.integers(1, 10**6), draws)
def test_backoff_is_full_jitter_under_a_cap(failures, draw):
    """The nth wait is anywhere between nothing and 0.1 s doubled n-1 times, and never over 1 s."""
    ceiling_s = min(1.0, 0.1 * 2.0 ** min(failures - 1, 60))
    assert 0 <= retry_policy.backoff_s(failures, draw) <= ceiling_s
    assert retry_policy.backoff_s(failures, 0.5) == ceiling_s / 2


@given(of_lookups, counts, counts, draws, st.floats(0, 100))
def test_the_lookup_service_is_not_asked_before_it_said(trouble, failures, attempts, draw, retry_after_s):
    """A lookup's Retry-After is honoured while the deadline allows."""
    wait_s = retry_policy.decide(
        trouble, failures=failures, attempts=attempts, left_s=1e9, draw=draw, retry_after_s=retry_after_s
    )
    assert wait_s is not None
    assert wait_s >= retry_after_s


@given(of_lookups, counts, counts, draws, seconds)
def test_a_lookup_service_once_seen_is_waited_for(trouble, failures, attempts, draw, waited_s):
    """Neither the number of tries nor the time waited ends the wait before the deadline does."""
    wait_s = retry_policy.decide(
        trouble, failures=failures, attempts=attempts, left_s=1e9, draw=draw, waited_s=waited_s, reached=True
    )
    assert wait_s is not None


@given(st.sampled_from([Trouble.NO_LOOKUP, Trouble.REFUSED]), counts, counts, draws, st.floats(0, 20))
def test_what_was_never_seen_is_given_up(trouble, failures, attempts, draw, waited_s):
    """Who has never answered gets `attempts` tries and five seconds, whichever takes longer."""
    wait_s = retry_policy.decide(
        trouble,
        failures=failures,
        attempts=attempts,
        left_s=1e9,
        draw=draw,
        waited_s=waited_s,
        reached=False,
    )
    assert (wait_s is None) == (failures >= attempts and waited_s >= 5)


@given(st.floats(0.1, 1000), st.integers(1, 10), st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_attempts_share_the_deadline(total_s, attempts, parts):
    """However much of its share each attempt uses, every next one gets some time and the last one all."""
    left_s = total_s
    for attempt in range(1, attempts + 1):
        limit_s = retry_policy.attempt_limit_s(left_s, last=attempt == attempts)
        assert 0 < limit_s <= left_s
        assert (limit_s == left_s) == (attempt == attempts)
        left_s -= limit_s * parts[attempt - 1]
    assert left_s >= 0


@given(st.floats(0.01, 1000), st.booleans(), st.floats(0, 100))
def test_what_takes_ten_times_the_usual_hangs(left_s, last, usual_s):
    """An attempt is given up after ten times the usual, and a second at least, if as much time remains for another."""
    limit_s = retry_policy.attempt_limit_s(left_s, last=last, usual_s=usual_s)
    hung_s = max(1.0, 10 * usual_s)
    assert limit_s == (hung_s if hung_s <= left_s / 2 else left_s if last else left_s / 2)


usual = st.none() | st.floats(0, 100)


@given(seconds, counts, counts, st.integers(1, 10), st.booleans(), usual, seconds, st.booleans())
def test_a_late_attempt_leaves_time_for_another(left_s, running, failed, attempts, others, usual_s, longest_s, hedge):
    """Whatever is known, an attempt is late by half of the time that is left, or never."""
    late_s = retry_policy.late_after_s(
        left_s,
        running=running,
        burdened=running + failed,
        attempts=attempts,
        others=others,
        usual_s=usual_s,
        longest_s=longest_s,
        hedge=hedge,
    )
    assert late_s is None or 0 <= late_s <= left_s / 2


@pytest.mark.parametrize(
    ("sentence", "known", "late_s"),
    [
        ("a first answer is late after a second", {}, 1.0),
        ("or after twice the longest so far", {"longest_s": 2.0}, 4.0),
        ("a third attempt waits twice as long", {"running": 2}, 2.0),
        ("no more than `attempts` of those, but half of the time for another one", {"running": 3, "burdened": 2}, 15.0),
        ("two of those even where one attempt may fail", {"attempts": 1}, 1.0),
        ("ten times the usual, once that is known", {"usual_s": 0.3}, 3.0),
        ("but no less than a second", {"usual_s": 0.01}, 1.0),
        ("as long for a fifth attempt as for a second one", {"usual_s": 0.3, "running": 4, "burdened": 4}, 3.0),
        ("a hedge begins after the usual time", {"usual_s": 0.3, "hedge": True}, 0.3),
        ("but one hedge a call", {"usual_s": 0.3, "hedge": True, "running": 2}, 3.0),
        ("nobody else: half of the time that is left", {"others": False, "usual_s": 0.3}, 15.0),
        ("nobody else, and the last attempt: never", {"others": False, "burdened": 3}, None),
        ("ten times the usual would take too long: half of the time", {"usual_s": 2.0}, 15.0),
    ],
)
def test_when_an_attempt_is_late(sentence, known, late_s):
    """With 30 s left, three attempts, one of them under way and other workers to ask, unless said otherwise."""
    facts = {"running": 1, "burdened": 1, "attempts": 3, "others": True, "usual_s": None, "longest_s": 0.0}
    found = retry_policy.late_after_s(30.0, **(facts | {"hedge": False} | known))
    assert found == late_s, sentence


@given(st.floats(0.1, 1000), st.integers(1, 10))
def test_lookups_that_hang_are_asked_often_enough(total_s, attempts):
    """`attempts` lookups that each use their whole limit fit in the time of the call."""
    left_s = total_s
    for failures in range(attempts):
        limit_s = retry_policy.lookup_limit_s(left_s, failures=failures, attempts=attempts)
        assert 0 < limit_s <= min(left_s, 5)
        left_s -= limit_s
    assert left_s >= 0


@given(st.lists(st.none() | st.floats(0, 0.3), min_size=1, max_size=8))
def test_a_hurried_silence_hides_nothing(silences_s):
    """The error told is the last but for those of tries that had under 0.1 s; only such there were: the last."""
    failures = [
        Failure(Trouble.FAILED, P2PError(str(number)), silent_s=silent_s) for number, silent_s in enumerate(silences_s)
    ]
    told = [number for number, silent_s in enumerate(silences_s) if silent_s is None or silent_s >= 0.1]
    assert str(retry_policy.most_informative(failures).error) == str((told or range(len(failures)))[-1])


@given(st.lists(st.none() | seconds, min_size=1, max_size=8))
def test_an_untried_worker_comes_first(times):
    """The first untried worker is chosen and free at once; if all are tried, the one that is free first."""
    workers = [Worker("classify", f"w{port}", "10.0.0.1", port) for port in range(1, len(times) + 1)]
    tried = {worker: free_at for worker, free_at in zip(workers, times, strict=True) if free_at is not None}
    chosen, free_at = retry_policy.choose(workers, tried)
    untried = [worker for worker in workers if worker not in tried]
    if untried:
        assert (chosen, free_at) == (untried[0], 0)
    else:
        assert free_at == tried[chosen] == min(tried.values())


@given(st.lists(st.tuples(of_workers, draws, st.floats(0, 1)), max_size=30), st.integers(1, 10), seconds)
def test_a_whole_call_ends_in_time(course, attempts, total_s):
    """Failing again and again, a call makes at most `attempts` tries and ends by its deadline."""
    left_s = total_s
    tries = 0
    for trouble, draw, part in course:
        tries += 1
        left_s -= part * retry_policy.attempt_limit_s(left_s, last=tries == attempts)
        wait_s = retry_policy.decide(trouble, failures=tries, attempts=attempts, left_s=left_s, draw=draw)
        if wait_s is None:
            break
        left_s -= wait_s
    assert tries <= attempts
    assert left_s >= 0
