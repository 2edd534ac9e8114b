"""The loop that follows a service: what it asks, when it asks again, what it does with errors."""

from __future__ import annotations

import asyncio

import pytest

from registry.consul.catalog import FOLLOW_TIMEOUT_S, WAIT_S
from registry.consul.errors import ConsulUnavailable
from registry.consul.health_answer import HealthAnswer
from registry.consul.instance import Instance
from registry.discovery.snapshot import Snapshot
from registry.discovery.watch import ServiceWatch
from registry.runtime import backoff

A = Instance("classify", "a", "127.0.0.1", 9001)
B = Instance("classify", "b", "127.0.0.1", 9002)


class Script:
    """A catalog that gives what it was told to, one by one, then waits for ever; `asked` holds the indexes.

    `hides`: what it says when it is asked whether it hides a service's instances.
    """

    hides = False

    def __init__(self, *outcomes: HealthAnswer | Exception) -> None:
        self.asked: list[int] = []
        self.waits_s: list[float] = []
        self.exhausted = asyncio.Event()
        self._outcomes = list(outcomes)

    async def health(self, service: str, *, index: int = 0, wait_s: float = 0) -> HealthAnswer:
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
    monkeypatch.setattr(backoff, "FIRST_S", 0.001)


async def followed(
    *outcomes: HealthAnswer | Exception, hides: bool = False
) -> tuple[Script, ServiceWatch, list[Snapshot]]:
    """Run a watch over these outcomes; what it asked, what it ended with, and the changes that it told."""
    script, changes = Script(*outcomes), list[Snapshot]()
    script.hides = hides
    watch = ServiceWatch(script, "classify", changes.append, is_hidden=script.hidden)  # type: ignore[arg-type]  # a fake
    task = asyncio.create_task(watch.run())
    await asyncio.wait_for(script.exhausted.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return script, watch, changes


async def test_each_question_carries_the_last_index() -> None:
    """It waits for what comes after the last answer: blocking queries, no polling."""
    script, _, changes = await followed(HealthAnswer(7, (A,)), HealthAnswer(9, (A, B)))
    assert script.asked == [0, 7, 9]
    assert [len(c.instances) for c in changes] == [1, 2]


async def test_a_return_is_not_a_change() -> None:
    """A question that returns with the same set tells nobody."""
    _, _, changes = await followed(HealthAnswer(7, (A,)), HealthAnswer(8, (A,)), HealthAnswer(9, (A,)))
    assert len(changes) == 1


async def test_an_index_that_goes_backwards_starts_again() -> None:
    """A lower index is asked again from 0."""
    script, _, _ = await followed(HealthAnswer(70, (A,)), HealthAnswer(3, (A,)), HealthAnswer(4, (A,)))
    assert script.asked == [0, 70, 0, 4]


async def test_an_error_leaves_the_set_and_asks_at_once_what_is() -> None:
    """After an error the set is the last good one, stale; the next question does not wait."""
    script, watch, changes = await followed(HealthAnswer(7, (A,)), ConsulUnavailable("gone"))
    assert script.asked == [0, 7, 0]
    assert (watch.snapshot.stale, watch.snapshot.instances) == (True, (A,))
    assert len(changes) == 1


async def test_staleness_ends_with_the_next_sound_answer() -> None:
    """After the outage the snapshot is confirmed again, and questions wait again."""
    script, watch, _ = await followed(HealthAnswer(7, (A,)), ConsulUnavailable("gone"), HealthAnswer(8, (A,)))
    assert (watch.snapshot.stale, script.asked[-1]) == (False, 8)


async def test_a_leaderless_agent_is_not_hammered() -> None:
    """Answers from the past keep their index and a short wait: the question still blocks."""
    script, _, _ = await followed(HealthAnswer(7, (A,)), HealthAnswer(7, (A,), known_leader=False))
    assert script.asked == [0, 7, 7]
    assert 0 < script.waits_s[-1] <= 1.0


async def test_a_held_set_is_asked_for_again_when_its_grace_ends() -> None:
    """While instances are held on suspicion the question ends with the grace, not 55 s later."""
    script, watch, _ = await followed(HealthAnswer(7, (A,)), HealthAnswer(8, ()))
    assert watch.snapshot.held_until_s is not None
    assert script.waits_s[-1] <= 15.0


async def test_instances_that_consul_hides_are_not_gone() -> None:
    """A token that lost its rights sees an empty list, with a 200: the set is kept, and called stale."""
    _, watch, changes = await followed(HealthAnswer(7, (A, B)), HealthAnswer(8, ()), HealthAnswer(9, ()), hides=True)
    assert (watch.snapshot.stale, watch.snapshot.instances) == (True, (A, B))
    assert len(changes) == 1


def test_the_client_waits_longer_than_the_server() -> None:
    """The server may add a sixteenth to the wait; giving up earlier would turn every quiet spell into an error."""
    assert FOLLOW_TIMEOUT_S >= WAIT_S * 17 / 16 + 10
