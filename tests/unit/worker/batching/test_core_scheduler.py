"""Slots on shared cores, on a real event loop."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.support.models.small_models import brightness
from tests.support.waiting import until
from worker.batching.core_scheduler import CoreScheduler
from worker.inference.calibration import ROUNDS, SIZES, measure_pace


async def test_a_free_gate_is_taken_without_waiting() -> None:
    """Who asks a free gate gets it in the same step of the loop."""
    scheduler = CoreScheduler()
    taking = scheduler.acquire()
    try:
        taking.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited")


async def test_those_with_work_take_turns() -> None:
    """Two that always have work alternate: neither runs twice while the other waits."""
    scheduler, ran = CoreScheduler(), []

    async def work(name: str) -> None:
        for _ in range(5):
            slot = await scheduler.acquire()
            ran.append(name)
            await asyncio.sleep(0)
            scheduler.release(slot)

    await asyncio.gather(work("a"), work("b"))
    assert ran == ["a", "b"] * 5


async def test_cores_are_shared_out() -> None:
    """Two that want a core each run together; who wants all waits for both, and is not overtaken."""
    scheduler = CoreScheduler(cores=2)
    first, second = await scheduler.acquire(1), await scheduler.acquire(1)
    everything = asyncio.create_task(scheduler.acquire())
    await asyncio.sleep(0)
    scheduler.release(first)
    later = asyncio.create_task(scheduler.acquire(1))
    await asyncio.sleep(0)
    assert [everything.done(), later.done()] == [False, False]
    scheduler.release(second)
    scheduler.release(await everything)
    assert (await later).cores == 1


async def test_a_turn_is_widened_only_over_cores_that_nobody_has_or_wants() -> None:
    """Over a core that is held, or that somebody waits for, it stays as it is."""
    scheduler = CoreScheduler(cores=2)
    first, second = await scheduler.acquire(1), await scheduler.acquire(1)
    assert not scheduler.widen(first)
    everything = asyncio.create_task(scheduler.acquire())
    await asyncio.sleep(0)
    scheduler.release(second)
    assert not scheduler.widen(first)
    everything.cancel()
    await asyncio.wait([everything])
    assert scheduler.widen(first)
    third = asyncio.create_task(scheduler.acquire(1))
    await asyncio.sleep(0)
    assert not third.done()
    scheduler.release(first)
    await third


async def test_a_turn_goes_on_only_while_nobody_wants_one() -> None:
    """Who has a turn may have another at once; not when somebody waits, nor after it has ended."""
    scheduler = CoreScheduler(held_at_most_s=0.1)
    first = await scheduler.acquire()
    began_s = first.since_s
    await asyncio.sleep(0.001)
    assert scheduler.renew(first)
    assert first.since_s > began_s
    second = asyncio.create_task(scheduler.acquire())
    await asyncio.sleep(0)
    assert not scheduler.renew(first)
    scheduler.release(first)
    assert not scheduler.renew(first)
    scheduler.release(await second)


async def test_background_work_lets_others_go_first() -> None:
    """Background work that came first goes when nobody else waits any more."""
    scheduler, ran = CoreScheduler(), []

    async def work(name: str, **how: float) -> None:
        slot = await scheduler.acquire(**how)
        ran.append(name)
        scheduler.release(slot)

    held = await scheduler.acquire()
    tasks = [asyncio.create_task(work("warming", patience_s=60))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(work(name)) for name in "ab"]
    await asyncio.sleep(0)
    scheduler.release(held)
    await asyncio.gather(*tasks)
    assert ran == ["a", "b", "warming"]


async def test_background_work_is_not_starved() -> None:
    """On a gate that is never free, background work goes when its patience has ended."""
    scheduler, done = CoreScheduler(), asyncio.Event()

    async def serve() -> None:
        while not done.is_set():
            slot = await scheduler.acquire()
            await asyncio.sleep(0)
            scheduler.release(slot)

    serving = [asyncio.create_task(serve()) for _ in range(2)]
    await asyncio.sleep(0)
    slot = await asyncio.wait_for(scheduler.acquire(patience_s=0.02), 5)
    done.set()
    scheduler.release(slot)
    await asyncio.gather(*serving)


async def test_a_turn_without_end_keeps_nobody_waiting() -> None:
    """Who hangs loses its turn to the next, and what it gives back much later disturbs nobody."""
    scheduler = CoreScheduler(held_at_most_s=0.02)
    hung = await scheduler.acquire()
    second = await asyncio.wait_for(scheduler.acquire(), 5)
    scheduler._held_at_most_s = 60  # it does not hang, however busy the machine is
    scheduler.release(hung)
    third = asyncio.create_task(scheduler.acquire())
    await asyncio.sleep(0)
    assert not third.done()
    scheduler.release(second)
    scheduler.release(await third)


ASKERS = st.tuples(st.booleans(), st.booleans(), st.sampled_from([1, 2, None]))


@given(st.lists(ASKERS, min_size=1, max_size=12), st.integers(0, 12), st.integers(1, 3))
def test_whoever_is_cancelled_no_turn_is_lost(
    askers: list[tuple[bool, bool, int | None]], after: int, cores: int
) -> None:
    """Whoever is cancelled, waiting or just given its slot: no core is given twice, all others run, it ends free."""

    async def scenario() -> None:
        scheduler, ran, running = CoreScheduler(cores), set(), 0

        async def work(number: int, wanted: int | None, *, background: bool) -> None:
            nonlocal running
            slot = await scheduler.acquire(wanted, patience_s=60 if background else 0)
            running += slot.cores
            assert running <= cores
            await asyncio.sleep(0)
            ran.add(number)
            running -= slot.cores
            scheduler.release(slot)

        held = await scheduler.acquire()
        tasks = [asyncio.create_task(work(n, few, background=back)) for n, (back, _, few) in enumerate(askers)]
        await asyncio.sleep(0)
        cancelled = [n for n, (_, cancel, _) in enumerate(askers) if cancel]
        for number in cancelled[:after]:
            tasks[number].cancel()
        scheduler.release(held)
        for number in cancelled[after:]:
            tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert ran == {n for n, (_, cancel, _) in enumerate(askers) if not cancel}
        await asyncio.wait_for(scheduler.acquire(), 1)

    asyncio.run(scenario())


async def test_warming_in_a_thread_takes_a_turn_a_batch() -> None:
    """A new version that warms in a thread runs no batch while another one does, and lets go between batches."""
    scheduler, model = CoreScheduler(), brightness()
    held = await scheduler.acquire()
    between = scheduler.background_steps(asyncio.get_running_loop())
    warming = asyncio.create_task(asyncio.to_thread(measure_pace, model, gate=between))
    predict, batches = model.engine.predict, []

    def counted(images):  # type: ignore[no-untyped-def]  # as the engine's own
        batches.append(len(images))
        return predict(images)

    model.engine.predict = counted  # type: ignore[method-assign]  # the test listens in
    await asyncio.sleep(0.05)
    assert batches == []
    scheduler.release(held)
    for _ in range(3):
        scheduler.release(await scheduler.acquire())
    await until(warming.done)
    assert sorted(batches) == sorted([*SIZES] * (1 + ROUNDS))


async def test_cores_are_idle_while_nobody_has_or_wants_one() -> None:
    """One core in use, or somebody who waits in the background, ends that."""
    scheduler = CoreScheduler(cores=2)
    assert scheduler.idle
    slot = await scheduler.acquire(1)
    background = asyncio.create_task(scheduler.acquire(patience_s=10))
    await asyncio.sleep(0)
    assert not scheduler.idle
    scheduler.release(slot)
    scheduler.release(await background)
    assert scheduler.idle
