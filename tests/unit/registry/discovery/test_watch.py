"""The loop that follows a service: what it asks, when it asks again, what it does with errors."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.consul.catalog import FOLLOW_TIMEOUT_S, WAIT_S
from registry.consul.errors import ConsulUnavailable
from registry.consul.instance import Instance
from registry.discovery import watch
from registry.discovery.reconcile import Answer, Belief
from registry.discovery.watch import BACKOFF_FIRST_S, BACKOFF_MOST_S, Follower, TokenBucket, backoff_s

A = Instance("classify", "a", "127.0.0.1", 9001)
B = Instance("classify", "b", "127.0.0.1", 9002)


class Script:
    """A catalog that gives what it was told to, one by one, then waits for ever; `asked` holds the indexes.

    `hides`: what it says when it is asked whether it hides a service's instances.
    """

    hides = False

    def __init__(self, *outcomes: Answer | Exception) -> None:
        self.asked: list[int] = []
        self.waits_s: list[float] = []
        self.exhausted = asyncio.Event()
        self._outcomes = list(outcomes)

    async def health(self, service: str, *, index: int = 0, wait_s: float = 0) -> Answer:
        self.asked.append(index)
        self.waits_s.append(wait_s)
        if not self._outcomes:
            self.exhausted.set()
            await asyncio.Event().wait()
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def hidden(self, service: str) -> bool:
        return self.hides


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BACKOFF_FIRST_S", 0.001)


async def followed(*outcomes: Answer | Exception, hides: bool = False) -> tuple[Script, Follower, list[Belief]]:
    """Run a follower over these outcomes; what it asked, what it ended with, and the changes that it told."""
    script, changes = Script(*outcomes), list[Belief]()
    script.hides = hides
    follower = Follower(script, "classify", changes.append, hidden=script.hidden)  # type: ignore[arg-type]  # a fake
    task = asyncio.create_task(follower.run())
    await asyncio.wait_for(script.exhausted.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return script, follower, changes


async def test_each_question_carries_the_last_index() -> None:
    """It waits for what comes after the last answer: blocking queries, no polling."""
    script, _, changes = await followed(Answer(7, (A,)), Answer(9, (A, B)))
    assert script.asked == [0, 7, 9]
    assert [len(c.snapshot.instances) for c in changes] == [1, 2]


async def test_a_return_is_not_a_change() -> None:
    """A question that returns with the same set tells nobody."""
    _, _, changes = await followed(Answer(7, (A,)), Answer(8, (A,)), Answer(9, (A,)))
    assert len(changes) == 1


async def test_an_index_that_goes_backwards_starts_again() -> None:
    """A lower index is asked again from 0."""
    script, _, _ = await followed(Answer(70, (A,)), Answer(3, (A,)), Answer(4, (A,)))
    assert script.asked == [0, 70, 0, 4]


async def test_an_error_leaves_the_set_and_asks_at_once_what_is() -> None:
    """After an error the set is the last good one, stale; the next question does not wait."""
    script, follower, changes = await followed(Answer(7, (A,)), ConsulUnavailable("gone"))
    assert script.asked == [0, 7, 0]
    assert (follower.belief.stale, follower.belief.snapshot.instances) == (True, (A,))
    assert len(changes) == 1


async def test_staleness_ends_with_the_next_sound_answer() -> None:
    """After the outage the belief is confirmed again, and questions wait again."""
    script, follower, _ = await followed(Answer(7, (A,)), ConsulUnavailable("gone"), Answer(8, (A,)))
    assert (follower.belief.stale, script.asked[-1]) == (False, 8)


async def test_a_leaderless_agent_is_not_hammered() -> None:
    """Answers from the past keep their index and a short wait: the question still blocks."""
    script, _, _ = await followed(Answer(7, (A,)), Answer(7, (A,), known_leader=False))
    assert script.asked == [0, 7, 7]
    assert 0 < script.waits_s[-1] <= 1.0


async def test_a_held_set_is_asked_for_again_when_its_grace_ends() -> None:
    """While instances are held on suspicion the question ends with the grace, not 55 s later."""
    script, follower, _ = await followed(Answer(7, (A,)), Answer(8, ()))
    assert follower.belief.suspect_until_s is not None
    assert script.waits_s[-1] <= 15.0


async def test_instances_that_consul_hides_are_not_gone() -> None:
    """A token that lost its rights sees an empty list, with a 200: the set is kept, and called stale."""
    _, follower, changes = await followed(Answer(7, (A, B)), Answer(8, ()), Answer(9, ()), hides=True)
    assert (follower.belief.stale, follower.belief.snapshot.instances) == (True, (A, B))
    assert len(changes) == 1


def test_the_client_waits_longer_than_the_server() -> None:
    """The server may add a sixteenth to the wait; giving up earlier would turn every quiet spell into an error."""
    assert FOLLOW_TIMEOUT_S >= WAIT_S * 17 / 16 + 10


@given(failures=st.integers(0, 10_000), seed=st.integers(0, 2**32))
def test_backoff_is_bounded_and_jittered(failures: int, seed: int) -> None:
    """Every pause lies between nothing and the doubled bound, at most 30 s."""
    pause_s = backoff_s(failures, random.Random(seed))
    assert 0 <= pause_s <= min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2 ** min(failures, 16))


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
