"""A call's state machine: which event leads where, and what holds whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pclient.calls.call_state import CallState, State
from p2pclient.errors import P2PError, WorkerFailed
from p2pclient.failures import Failure, Trouble
from p2pclient.types import Worker

WORKERS = [Worker("classify", f"w{number}", "10.0.0.1", number) for number in range(1, 9)]
FIRST, SECOND, *_ = WORKERS


def failed(
    call: CallState[str], worker: Worker, trouble: Trouble, *, left_s: float = 30.0, spent_s: float = 0.0
) -> None:
    failure = Failure(trouble, WorkerFailed(f"{worker.id}: {trouble.name}"))
    call.failed(worker, failure, spent_s=0.0, left_s=left_s, reached=True, draw=0.5)


def after(*events: tuple[str, Worker] | tuple[str, Worker, Trouble], attempts: int = 3) -> CallState[str]:
    call = CallState[str](attempts)
    for what, worker, *trouble in events:
        if what == "failed":
            failed(call, worker, *trouble)
        elif what == "answered":
            call.answered(worker, worker.id)
        else:
            getattr(call, what)(worker)
    return call


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], State.FINDING),
        ([("begun", FIRST)], State.ASKING),
        ([("begun", FIRST), ("begun", SECOND)], State.ASKING),
        ([("begun", FIRST), ("answered", FIRST)], State.ANSWERED),
        ([("begun", FIRST), ("failed", FIRST, Trouble.GONE)], State.PAUSING),
        ([("begun", FIRST), ("failed", FIRST, Trouble.FINAL)], State.FAILED),
        ([("begun", FIRST), ("begun", SECOND), ("failed", FIRST, Trouble.FAILED)], State.ASKING),
        ([("begun", FIRST), ("begun", SECOND), ("failed", FIRST, Trouble.FINAL)], State.FAILED),
        (
            [("begun", FIRST), ("begun", SECOND), ("failed", FIRST, Trouble.FAILED), ("answered", SECOND)],
            State.ANSWERED,
        ),
        (
            [("begun", FIRST), ("begun", SECOND), ("answered", SECOND), ("failed", FIRST, Trouble.FINAL)],
            State.ANSWERED,
        ),
        ([("begun", FIRST), ("begun", SECOND), ("answered", SECOND), ("answered", FIRST)], State.ANSWERED),
    ],
)
def test_where_events_lead(events, state):
    """Each transition of the picture in the module."""
    assert after(*events).state is state


def test_the_first_answer_counts():
    """A later answer changes nothing; the attempts are those made by then."""
    call = after(("begun", FIRST), ("begun", SECOND), ("answered", SECOND), ("answered", FIRST))
    assert call.answer is not None
    assert (call.answer.value, call.answer.worker, call.answer.attempts) == ("w2", SECOND, 2)


def test_a_pause_has_a_reason_to_wait():
    """An attempt that burdened a worker wants a permit and a backoff; a refused connection neither."""
    refused = after(("begun", FIRST), ("failed", FIRST, Trouble.REFUSED))
    assert (refused.pause_s, refused.permit) == (0, False)
    broken = after(("begun", FIRST), ("failed", FIRST, Trouble.FAILED))
    assert (broken.pause_s, broken.permit) == (0.05, True)
    broken.paused()
    assert broken.state is State.FINDING
    broken.out_of_time()
    assert broken.state is State.FAILED


def test_no_time_and_no_attempts_are_the_end():
    """FAILED where the deadline leaves no time, or where `attempts` have burdened a worker and failed."""
    call = after(("begun", FIRST))
    failed(call, FIRST, Trouble.GONE, left_s=0.0)
    assert call.state is State.FAILED
    call = after(("begun", FIRST), ("failed", FIRST, Trouble.FAILED), attempts=1)
    assert call.state is State.FAILED
    assert (str(call.error()), call.error().attempts) == ("w1: FAILED", 1)


def test_a_worker_that_is_back_counts_as_not_tried():
    """News lets a call try those again that refused, and only those."""
    call = after(
        ("begun", FIRST),
        ("failed", FIRST, Trouble.REFUSED),
        ("begun", SECOND),
        ("failed", SECOND, Trouble.FAILED),
    )
    assert set(call.tried) == {FIRST, SECOND}
    call.notice(1)
    assert set(call.tried) == {SECOND}


events = st.lists(st.tuples(st.sampled_from(["begin", "answer", "fail", "abandon"]), st.sampled_from(Trouble)))


@given(st.integers(1, 4), events)
def test_whatever_happens(attempts, events):
    """A call that is over stays so; it pauses only while nothing is under way; failures that burden are bounded."""
    call = CallState[str](attempts)
    begun, number = 0, 0
    ended: State | None = None
    for what, trouble in events:
        if what == "begin" and not call.over and call.state is not State.PAUSING:
            call.begun(WORKERS[number % len(WORKERS)])
            number += 1
            begun += 1
        elif what != "begin" and call.under_way:
            worker = call.under_way[0]
            if what == "answer":
                call.answered(worker, worker.id)
            elif what == "fail":
                failed(call, worker, trouble)
            elif call.over:
                call.abandoned(worker)
        if call.state is State.PAUSING:
            assert not call.under_way
            call.paused()
        assert ended is None or call.state is ended
        ended = call.state if call.over else None
        assert call.made == begun
        assert (call.answer is not None) == (call.state is State.ANSWERED)
    if call.state is State.FAILED:
        assert isinstance(call.error(), P2PError)
    if call.state is State.FINDING:  # it may go on: fewer than `attempts` have burdened a worker and failed at last
        assert not call.failures or call.failures[-1].trouble is not Trouble.FINAL
