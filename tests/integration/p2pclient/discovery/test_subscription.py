"""A subscription in place of lookups: who is asked, who is not, and what becomes of calls when things go wrong."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from p2pclient import (
    AsyncClient,
    ClientClosed,
    DeadlineExceeded,
    LookupUnavailable,
    NoWorker,
    UnknownService,
    WorkerFailed,
    timeouts,
)
from p2pclient.calls import service_channel
from p2pclient.discovery.registry import RegistrySource
from tests.support.event_loops.slow_callbacks import MeasuredUvloop
from tests.support.waiting import until

LEFT_OUT_S = service_channel.LEFT_OUT_S
HANGS_S = 10.0  # what takes less has not hung; how long calls wait is tests/unit/p2pclient/calls/test_executor.py


async def test_no_lookup_in_the_steady_state(fleet, even_shares):
    """A hundred calls cost one question for the list, which is then waited upon, and not one lookup."""
    workers = fleet.add(4)
    async with AsyncClient(fleet.url, service="classify") as client:
        for _ in range(100):
            await client.classify(fleet.jpeg)
        assert fleet.lookup.asked == []
        await until(lambda: len(fleet.lookup.watched) == 2)
        assert fleet.lookup.watched[0] == "/instances/classify"
        assert fleet.lookup.watched[1].startswith("/instances/classify?index=")
    counts = [len(worker.seen) for worker in workers]
    assert max(counts) <= 1.15 * min(counts)


async def test_the_default_service_is_learned_from_one_lookup(fleet):
    """Without a service's name, the first answer of the lookup service tells it."""
    fleet.add(2)
    async with AsyncClient(fleet.url) as client:
        await asyncio.gather(*(client.classify(fleet.jpeg) for _ in range(20)))
    assert fleet.lookup.asked == ["/next"]
    assert fleet.lookup.watched[0] == "/instances/classify"


async def test_without_a_subscription_calls_look_up(fleet):
    """A lookup service that has no list to give, or hangs over it, is asked at each call instead."""
    fleet.add(2)

    async def no_list(request, body):
        if request.path.startswith("/instances/"):
            return await fleet.answers(500, "not here")(request, body)
        fleet.lookup.replace = None
        try:
            return await fleet.lookup.handle(request)
        finally:
            fleet.lookup.replace = no_list

    fleet.lookup.replace = no_list
    async with AsyncClient(fleet.url, service="classify") as client:
        answered = [(await client.classify(fleet.jpeg)).worker for _ in range(6)]
    assert answered[0::2] == [answered[0]] * 3  # exactly the rotation
    assert answered[1::2] == [answered[1]] * 3
    assert len(set(answered)) == 2


async def test_changes_are_followed_at_once(fleet, even_shares):
    """A worker that is taken off the list gets no call more; one that is put on it gets some."""
    old, other = fleet.add(2)
    async with AsyncClient(fleet.url, service="classify") as client:
        await client.classify(fleet.jpeg)
        (new,) = await asyncio.to_thread(fleet.add)
        fleet.lookup.workers = [other, new]
        await until(lambda: any_known(client, new))
        before = len(old.seen)
        for _ in range(100):
            await client.classify(fleet.jpeg)
    assert len(old.seen) == before
    assert 0 < len(new.seen) < len(other.seen)  # its share grows from a tenth


def any_known(client, worker):
    return any(known.id == worker.id for known in client._core._channels["classify"].workers)


async def test_the_last_list_outlives_its_lookup_service(fleet):
    """While the lookup service is away calls go on, the age says for how long; afterwards it is followed again."""
    first, second = fleet.add(2)
    async with AsyncClient(fleet.url, service="classify") as client:
        await client.classify(fleet.jpeg)
        await asyncio.to_thread(fleet.lookup.stop)
        for _ in range(20):
            await client.classify(fleet.jpeg)
        ages = [(await client.workers()).age_s for _ in range(2)]
        assert 0 < ages[0] < ages[1] < 60
        with pytest.raises(LookupUnavailable):
            await client.lookup(timeout_s=0.2)
        await asyncio.to_thread(fleet.lookup.start)
        fleet.lookup.workers = [second]
        await until(lambda: not any_known(client, first))
        assert (await client.classify(fleet.jpeg)).worker == second.address


async def test_a_slow_lookup_service_slows_no_call(fleet):
    """Once there is a list, calls are answered while the lookup service takes for ever over the next one."""
    fleet.add(2)
    async with AsyncClient(fleet.url, service="classify") as client:
        await client.classify(fleet.jpeg)
        fleet.lookup.replace = fleet.hang
        for _ in range(20):
            await client.classify(fleet.jpeg)
    assert fleet.lookup.asked == []


async def test_workers_and_services_are_told(fleet):
    """All workers of the list with their health, and the services there are, with either routing."""
    healthy, ill = fleet.add(2)
    ill.health = "critical"
    for routing in ("watch", "lookup"):
        async with AsyncClient(fleet.url, service="classify", routing=routing) as client:
            snapshot = await client.workers()
            assert [(w.id, w.health) for w in snapshot] == [("w0", "passing"), ("w1", "critical")]
            assert snapshot.service == "classify"
            assert 0 <= snapshot.age_s < 10
            (service,) = await client.services()
            assert (service.name, service.instances, service.serving, service.versions) == ("classify", 2, 1, ("1",))
            await client.classify(fleet.jpeg)
    assert ill.seen == []
    assert healthy.seen


async def test_when_most_turn_critical_at_once_all_are_used(fleet):
    """Fewer than half healthy of those that ever were: it is more likely the checks that are wrong."""
    workers = fleet.add(3)
    async with AsyncClient(fleet.url, service="classify") as client:
        await client.classify(fleet.jpeg)
        for worker in workers[1:]:
            worker.health = "critical"
        fleet.lookup.workers = workers
        await until(lambda: sum(w.health == "warning" for w in client._core._channels["classify"].workers) == 2)
        for worker in workers:
            worker.seen.clear()

        async def all_used():
            await client.classify(fleet.jpeg)
            return all(worker.seen for worker in workers)

        await until(all_used, within_s=60)  # one that seems slow is only probed, every ten seconds at the latest


@pytest.mark.parametrize("routing", ["watch", "lookup"])
async def test_dead_workers_use_up_no_attempt(fleet, routing):
    """Four of five refuse connections, and the call has one attempt: the fifth worker answers it."""
    *dead, alive = fleet.add(5)
    for worker in dead:
        worker.stop()
    async with AsyncClient(fleet.url, routing=routing, attempts=1) as client:
        answers = [await client.classify(fleet.jpeg) for _ in range(10)]
    assert {answer.worker for answer in answers} == {alive.address}


@pytest.mark.parametrize("routing", ["watch", "lookup"])
async def test_a_dead_worker_is_left_out_for_all_calls(fleet, routing):
    """After one refused connection, others do not try that worker: it is probed once a second or so."""
    dead, _alive = fleet.add(2)
    dead.stop()
    async with AsyncClient(fleet.url, routing=routing) as client:
        attempts = [(await client.classify(fleet.jpeg)).attempts for _ in range(40)]
    assert sum(attempts) <= 40 + 3


async def test_another_process_on_the_port_is_passed_over(fleet):
    """421: the worker restarted since; the call goes on at once and uses up no attempt."""
    restarted, other = fleet.add(2)
    async with AsyncClient(fleet.url, service="classify", attempts=1) as client:
        await client.workers()
        restarted.boot = "another process"
        assert {(await client.classify(fleet.jpeg)).worker for _ in range(10)} == {other.address}


async def test_all_workers_gone_and_back(fleet):
    """A call waits while there is nobody: not registered, or registered and refusing; then it is answered."""
    (worker,) = fleet.add()
    async with AsyncClient(fleet.url, service="classify", timeout_s=20) as client:
        await client.classify(fleet.jpeg)
        worker.stop()
        call = asyncio.create_task(client.classify(fleet.jpeg))
        await until(lambda: len(fleet.lookup.watched) > 2)  # the list is in doubt
        fleet.lookup.workers = []
        await until(lambda: fleet.lookup.asked)
        assert not call.done()
        (new,) = await asyncio.to_thread(fleet.add)
        assert (await call).worker == new.address


@pytest.mark.parametrize(("routing", "left_out_s"), [("watch", LEFT_OUT_S), ("lookup", LEFT_OUT_S), ("lookup", 0.02)])
async def test_no_storm_while_everybody_refuses_and_no_delay_when_somebody_is_back(
    fleet, routing, left_out_s, monkeypatch
):
    """32 calls wait together for one of three workers: ten tries a second in all, and all are answered at once.

    That is so, too, where those who refused are not avoided any more by the time somebody is back; the two others
    are then met once more by each call.
    """
    monkeypatch.setattr(service_channel, "LEFT_OUT_S", left_out_s)
    workers = fleet.add(3)
    async with AsyncClient(fleet.url, service="classify", routing=routing, timeout_s=20) as client:
        for _ in range(6):
            await client.classify(fleet.jpeg)
        for worker in workers:
            worker.stop()
        began_s = time.monotonic()
        calls = [asyncio.create_task(client.classify(fleet.jpeg)) for _ in range(32)]
        await asyncio.sleep(1.0)  # not for a condition: what is measured is how little happens meanwhile
        await asyncio.to_thread(workers[0].start)
        answers = await asyncio.gather(*calls)
        took_s = time.monotonic() - began_s
    tries = sum(answer.attempts for answer in answers) - 32
    met = 3 * 32 if left_out_s == LEFT_OUT_S else 5 * 32
    assert tries <= met + 10 * took_s + 1
    assert {answer.worker for answer in answers} == {workers[0].address}


async def test_nobody_until_the_deadline(fleet):
    """Where there is no worker, or only one that refuses, the error says so."""
    async with AsyncClient(fleet.url, service="classify", timeout_s=1.2) as client:
        with pytest.raises(NoWorker, match="start one"):
            await client.classify(fleet.jpeg)
        (worker,) = await asyncio.to_thread(fleet.add)
        await client.classify(fleet.jpeg)
        worker.stop()
        with pytest.raises(WorkerFailed, match="connection refused"):
            await client.classify(fleet.jpeg)


async def test_an_unknown_service_is_told_at_once(fleet):
    """A name that the lookup service does not know is no reason to wait."""
    fleet.add()
    async with AsyncClient(fleet.url, service="clasify") as client:
        with pytest.raises(UnknownService, match="classify, echo"):
            await client.classify(fleet.jpeg)


@pytest.fixture
def impatient(monkeypatch):
    """A worker hangs after a fifth of a second, not only after a whole one: for tests that wait for it."""
    monkeypatch.setattr(timeouts, "LATE_AT_LEAST_S", 0.2)


async def test_a_hung_worker_does_not_cost_half_the_deadline(fleet, impatient):
    """Once it is known how long answers take, one that takes ten times as long is given up."""
    hung, other = fleet.add(2)
    async with AsyncClient(fleet.url, service="classify") as client:
        for _ in range(40):
            await client.classify(fleet.jpeg)
        hung.behave = fleet.hang
        answers = await asyncio.gather(*(client.classify(fleet.jpeg) for _ in range(10)))
    assert {answer.worker for answer in answers} == {other.address}
    assert max(answer.took_s for answer in answers) < HANGS_S


async def test_a_lone_slow_worker_is_not_given_up(fleet, impatient):
    """Where there is nobody else, an answer that takes longer than usual is waited for."""
    (worker,) = fleet.add()
    async with AsyncClient(fleet.url, service="classify") as client:
        for _ in range(40):
            await client.classify(fleet.jpeg)

        async def slowly(request, body):
            await asyncio.sleep(0.5)
            return await fleet.answer(request, body)

        worker.behave = slowly
        assert (await client.classify(fleet.jpeg)).attempts == 1
    assert len(worker.seen) == 41


async def test_attempts_are_bounded_by_the_budget(fleet):
    """When every worker fails, attempts are 1.2 times the calls and ten a second, not three times the calls."""
    workers = fleet.add(2)
    for worker in workers:
        worker.behave = fleet.answers(500, "the model broke")
    began_s = time.monotonic()
    async with AsyncClient(fleet.url, service="classify", timeout_s=1.2) as client:
        outcomes = await asyncio.gather(*(client.classify(fleet.jpeg) for _ in range(200)), return_exceptions=True)
    took_s = time.monotonic() - began_s
    assert {type(outcome) for outcome in outcomes} <= {WorkerFailed, DeadlineExceeded}
    assert sum(len(worker.seen) for worker in workers) <= 1.2 * 200 + 10 * (took_s + 2)


async def test_a_hedge_answers_for_a_late_worker(fleet, monkeypatch):
    """With hedging, a call whose worker is late is answered by another one long before the first has failed."""
    monkeypatch.setattr(timeouts, "LATE_AT_LEAST_S", 3600.0)  # without hedging, no other would be asked
    workers = fleet.add(2)
    asked = []

    async def hang_if_first(request, body):
        """Whichever worker a call asks first hangs: which one that is, the balancing decides."""
        asked.append(request.transport.get_extra_info("sockname")[1])
        return await (fleet.hang if len(asked) == 1 else fleet.answer)(request, body)

    async with AsyncClient(fleet.url, service="classify", hedge=True) as client:
        for _ in range(40):
            await client.classify(fleet.jpeg)
        for worker in workers:
            worker.behave = hang_if_first
        for _ in range(6):
            asked.clear()
            answer = await client.classify(fleet.jpeg)
            assert answer.attempts == 2
            assert answer.worker == f"127.0.0.1:{asked[1]}"
            assert sorted(asked) == sorted(worker.port for worker in workers)


async def under_load(client, fleet, event, *, callers=8, calls=15, during=lambda: True):
    """Many callers at a time, and `event` in the middle of it; their predictions."""
    done = 0

    async def call_often():
        nonlocal done
        answers = []
        while len(answers) < calls or not finished.is_set():
            answers.append(await client.classify(fleet.jpeg))
            done += 1
        return answers

    finished = asyncio.Event()
    tasks = [asyncio.create_task(call_often()) for _ in range(callers)]
    await until(lambda: done > 3 * callers)
    await asyncio.to_thread(event)
    finished.set()
    return [answer for answers in await asyncio.gather(*tasks) for answer in answers]


@pytest.mark.parametrize(
    ("number", "loop_factory"), [(signal.SIGKILL, MeasuredUvloop), (signal.SIGSTOP, asyncio.new_event_loop)]
)
def test_no_call_fails_when_workers_are_killed_or_stopped(fleet, number, loop_factory, impatient):
    """kill -9 for three of four workers, or SIGSTOP for one, under load: every call is answered, nobody looks up."""

    async def main():
        async with AsyncClient(fleet.url, service="classify", timeout_s=8) as client:
            return await under_load(client, fleet, hit)

    def hit():
        for worker in hit_ones:
            worker.signal(number)

    workers = fleet.add_processes(4, takes_s=0.005)
    hit_ones = workers[: 3 if number is signal.SIGKILL else 1]
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        answers = runner.run(main())
    assert len(answers) >= 120
    assert answers[-1].worker in {worker.address for worker in workers if worker not in hit_ones}
    assert fleet.lookup.asked == []


async def test_no_call_fails_when_every_worker_is_replaced(fleet):
    """A roll-out: one worker after another is added, its predecessor taken off and ended, under load."""

    def roll_out():
        for worker in old:
            fleet.add()
            fleet.lookup.workers = [w for w in fleet.lookup.workers if w is not worker]
            worker.stop()

    old = await asyncio.to_thread(fleet.add, 3)
    async with AsyncClient(fleet.url, service="classify", timeout_s=10) as client:
        answers = await under_load(client, fleet, roll_out)
        last = [await client.classify(fleet.jpeg) for _ in range(10)]
    assert len(answers) >= 120
    assert {answer.worker for answer in last}.isdisjoint({worker.address for worker in old})


async def test_closing_ends_the_subscription(fleet):
    """No task and no question is left once the client is closed, whether it was ever answered or not."""
    fleet.add()
    before = asyncio.all_tasks()
    for behave in (None, fleet.hang):
        fleet.lookup.replace = behave
        async with AsyncClient(fleet.url, service="classify", timeout_s=0.3) as client:
            await asyncio.gather(client.classify(fleet.jpeg), return_exceptions=True)
        assert asyncio.all_tasks() == before


async def test_a_closed_client_subscribes_to_nothing(fleet):
    """A call after the end says so, and leaves no task behind that would ask on."""
    fleet.add()
    before = asyncio.all_tasks()
    client = AsyncClient(fleet.url, service="classify")
    await client.close()
    with pytest.raises(ClientClosed):
        await client.classify(fleet.jpeg)
    await until(lambda: asyncio.all_tasks() == before)


def test_a_client_of_another_loop_says_so(fleet):
    """A client that is used in a second event loop is told what to do, instead of hanging."""
    fleet.add()
    client = AsyncClient(fleet.url)

    async def use():
        await client.classify(fleet.jpeg)

    with asyncio.Runner() as runner:
        runner.run(use())
        with pytest.raises(RuntimeError, match="make one in each"), asyncio.Runner() as other:
            other.run(use())
        runner.run(client.close())


async def test_churn_is_followed_at_a_pace(fleet):
    """A list that changes all the time costs twenty questions a second and no more."""
    fleet.add()

    async def always_new(request, _body):
        fleet.lookup._revision += 1
        return await fleet.lookup._list(request)

    fleet.lookup.replace = always_new
    async with AsyncClient(fleet.url, service="classify") as client:
        began_s = time.monotonic()
        await client.classify(fleet.jpeg)
        await until(lambda: len(fleet.lookup.watched) >= 8)
        assert time.monotonic() - began_s >= 7 * 0.05 - 0.01


async def test_an_answer_that_cannot_be_read_does_not_end_the_subscription(fleet, monkeypatch, caplog):
    """Whatever reading an answer raises, it is logged, and the list is asked for again."""
    fleet.add()
    real, raised = RegistrySource.listing, []

    async def raise_once(source, *arguments, **options):
        if not raised:
            raised.append(True)
            raise AttributeError("'str' object has no attribute 'get'")
        return await real(source, *arguments, **options)

    monkeypatch.setattr(RegistrySource, "listing", raise_once)
    async with AsyncClient(fleet.url, service="classify") as client:
        await client.classify(fleet.jpeg)
        await until(lambda: any_known(client, fleet.started[0]))
    assert "has no attribute 'get'" in caplog.text


async def test_an_unknown_service_is_not_asked_for_again_and_again(fleet):
    """A name that the lookup service does not know costs one question for each call, and no poll goes on for it."""
    async with AsyncClient(fleet.url, timeout_s=5) as client:
        for number in range(3):
            with pytest.raises(UnknownService):
                await client.classify(fleet.jpeg, service=f"mistyped-{number}")
        subscriptions = [channel.subscription for channel in client._core._channels.values()]
        assert [subscription.running for subscription in subscriptions] == [False] * 3
    assert len(fleet.lookup.watched) == 3


async def test_a_service_that_comes_later_is_followed(fleet):
    """A subscription that ended because there was no such service begins anew with the next call."""
    fleet.add()
    fleet.lookup.replace = fleet.says("no such service", status=404)
    async with AsyncClient(fleet.url, service="classify") as client:
        with pytest.raises(UnknownService):
            await client.classify(fleet.jpeg)
        fleet.lookup.replace = None
        await client.classify(fleet.jpeg)
        await until(lambda: any_known(client, fleet.started[0]))
