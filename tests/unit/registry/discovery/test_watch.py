"""The loop that follows a service: what it asks, when it asks again, what it does with errors."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from registry.backend.health_answer import HealthAnswer
from registry.consul.catalog import FOLLOW_TIMEOUT_S, WAIT_S
from registry.consul.errors import ConsulUnavailable
from registry.discovery.reconcile import CHECK_INTERVAL_S
from registry.discovery.saved.saved_snapshot import SavedSnapshot
from registry.discovery.snapshot import Snapshot
from registry.discovery.watch import UNUSABLE_LOGGED_AT_MOST, ServiceWatch
from registry.instances.instance import Health, Instance
from registry.instances.usability import Unusable
from registry.runtime.tasks import backoff
from registry.runtime.tasks.supervise import cancel_all, supervised
from tests.support.fakes import LikeConsul
from tests.support.waiting import until

A = Instance("classify", "a", "127.0.0.1", 9001)
B = Instance("classify", "b", "127.0.0.1", 9002)


class Script(LikeConsul):
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


async def test_a_refused_worker_is_asked_about_again_when_its_interval_ends() -> None:
    """A worker that refuses connections is looked at again after one check interval, also without a change."""
    killed = replace(B, health=Health.CRITICAL, refused=True)
    script, watch, _ = await followed(HealthAnswer(7, (A, B)), HealthAnswer(8, (A, killed)))
    assert watch.snapshot.next_unreachable_s is not None
    assert script.waits_s[-1] <= CHECK_INTERVAL_S


async def test_what_is_unusable_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A registration that is left out is one line of the log, however often Consul names it, and of many a number."""
    bad = tuple(Unusable(f"bad-{n}\n", "port 0 is not from 1 to 65535") for n in range(UNUSABLE_LOGGED_AT_MOST + 5))
    answers = [HealthAnswer(7, (A,), unusable=bad[:1]), HealthAnswer(8, (A, B), unusable=bad[:1])]
    _, watch, changes = await followed(*answers, HealthAnswer(9, (A, B), unusable=bad))
    assert (watch.snapshot.unusable, len(changes)) == (bad, 3)
    assert [record.getMessage().count("bad-0") for record in caplog.records].count(1) == 1
    assert caplog.messages[0] == "An instance of classify is left out, 'bad-0\\n': port 0 is not from 1 to 65535."
    assert caplog.messages[-1].startswith("4 more instances of classify")


async def test_instances_that_consul_hides_are_not_gone() -> None:
    """A token that lost its rights sees an empty list, with a 200: the set is kept, and called stale."""
    _, watch, changes = await followed(HealthAnswer(7, (A, B)), HealthAnswer(8, ()), HealthAnswer(9, ()), hides=True)
    assert (watch.snapshot.stale, watch.snapshot.instances) == (True, (A, B))
    assert len(changes) == 1


def test_the_client_waits_longer_than_the_server() -> None:
    """The server may add a sixteenth to the wait; giving up earlier would turn every quiet spell into an error."""
    assert FOLLOW_TIMEOUT_S >= WAIT_S * 17 / 16 + 10


async def test_an_unexpected_error_marks_the_set_stale() -> None:
    """A fault of ours must not leave a set that is called fresh for ever; the watch goes on when it is run again."""
    script = Script(HealthAnswer(7, (A,)), RuntimeError("a fault"), HealthAnswer(8, (A, B)))
    watch = ServiceWatch(script, "classify", lambda _: None, is_hidden=script.hidden)  # type: ignore[arg-type]  # a fake
    with pytest.raises(RuntimeError, match="a fault"):
        await watch.run()
    assert (watch.snapshot.stale, watch.snapshot.instances) == (True, (A,))
    async with supervised("follow classify", watch.run):
        await asyncio.wait_for(script.exhausted.wait(), 5)
    assert (watch.snapshot.stale, watch.snapshot.instances) == (False, (A, B))


async def test_a_leader_that_comes_back_during_a_query_ends_the_pause_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The query fails, but the leader was found meanwhile: the next one follows at once."""
    monkeypatch.setattr("registry.discovery.watch.backoff_s", lambda *_: 60.0)

    class Found(Script):
        async def health(self, service: str, *, index: int = 0, wait_s: float = 0) -> HealthAnswer:
            if len(self.asked) == 1:
                watch.leader_found()
            return await super().health(service, index=index, wait_s=wait_s)

    script = Found(HealthAnswer(7, (A,)), ConsulUnavailable("gone"), HealthAnswer(8, (A,)))
    watch = ServiceWatch(script, "classify", lambda _: None, is_hidden=script.hidden)  # type: ignore[arg-type]  # a fake
    async with supervised("follow classify", watch.run):
        await asyncio.wait_for(script.exhausted.wait(), 5)


async def test_a_leader_lost_while_a_query_is_given_up_is_no_error() -> None:
    """A second report, while the first one's cancellation still unwinds, changes nothing."""
    reported = asyncio.Event()

    class Unwinding(Script):
        async def health(self, service: str, *, index: int = 0, wait_s: float = 0) -> HealthAnswer:
            if index != 7:
                return await super().health(service, index=index, wait_s=wait_s)
            try:
                self.asked.append(index)
                await asyncio.Event().wait()
                raise AssertionError("nothing ends the wait but a cancellation")
            finally:
                watch.leader_lost()
                reported.set()

    script = Unwinding(HealthAnswer(7, (A,)))
    watch = ServiceWatch(script, "classify", lambda _: None, is_hidden=script.hidden)  # type: ignore[arg-type]  # a fake
    task = asyncio.create_task(watch.run())
    await until(lambda: script.asked == [0, 7])
    watch.leader_lost()
    await asyncio.wait_for(script.exhausted.wait(), 5)
    assert reported.is_set()
    await cancel_all(task)


async def test_a_set_that_was_saved_is_held_when_consul_has_lost_it() -> None:
    """Lookup service and Consul start anew, Consul without data: the workers of before get time to register again."""
    saved = SavedSnapshot(Snapshot("classify", (A,), index=90, proven=frozenset({"a"}), stale=True, known=True), 0.0)
    script = Script(HealthAnswer(3, ()))
    watch = ServiceWatch(script, "classify", lambda _: None, is_hidden=script.hidden, saved=saved)  # type: ignore[arg-type]
    async with supervised("follow classify", watch.run):
        await asyncio.wait_for(script.exhausted.wait(), 5)
    assert watch.snapshot.eligible == (A,)
    assert watch.snapshot.held_until_s is not None


async def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    """A snapshot that was confirmed in what is now the future counts as confirmed just now."""
    saved = SavedSnapshot(Snapshot("classify", (A,), known=True), confirmed_at=time.time() + 3600)
    script = Script(ConsulUnavailable("gone"))
    watch = ServiceWatch(script, "classify", lambda _: None, is_hidden=script.hidden, saved=saved)  # type: ignore[arg-type]
    async with supervised("follow", watch.run):
        await asyncio.wait_for(script.exhausted.wait(), 5)
    stale_s = watch.stale_s(time.monotonic())
    assert stale_s is not None
    assert 0 <= stale_s < 60
