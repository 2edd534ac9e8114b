"""Turns on shared cores, on a real event loop."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.support.small_models import brightness
from tests.support.waiting import until
from worker.batching.core_scheduler import Turns
from worker.inference.calibration import ROUNDS, SIZES, measure_pace


async def test_a_free_gate_is_taken_without_waiting() -> None:
    """Who asks a free gate gets it in the same step of the loop."""
    turns = Turns()
    taking = turns.take()
    try:
        taking.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited")


async def test_those_with_work_take_turns() -> None:
    """Two that always have work alternate: neither runs twice while the other waits."""
    turns, ran = Turns(), []

    async def work(name: str) -> None:
        for _ in range(5):
            turn = await turns.take()
            ran.append(name)
            await asyncio.sleep(0)
            turns.give_back(turn)

    await asyncio.gather(work("a"), work("b"))
    assert ran == ["a", "b"] * 5


async def test_cores_are_shared_out() -> None:
    """Two that want a core each run together; who wants all waits for both, and is not overtaken."""
    turns = Turns(cores=2)
    first, second = await turns.take(1), await turns.take(1)
    everything = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    turns.give_back(first)
    later = asyncio.create_task(turns.take(1))
    await asyncio.sleep(0)
    assert [everything.done(), later.done()] == [False, False]
    turns.give_back(second)
    turns.give_back(await everything)
    assert (await later).cores == 1


async def test_a_turn_is_widened_only_over_cores_that_nobody_has_or_wants() -> None:
    """Over a core that is held, or that somebody waits for, it stays as it is."""
    turns = Turns(cores=2)
    first, second = await turns.take(1), await turns.take(1)
    assert not turns.widen(first)
    everything = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    turns.give_back(second)
    assert not turns.widen(first)
    everything.cancel()
    await asyncio.wait([everything])
    assert turns.widen(first)
    third = asyncio.create_task(turns.take(1))
    await asyncio.sleep(0)
    assert not third.done()
    turns.give_back(first)
    await third


async def test_a_turn_goes_on_only_while_nobody_wants_one() -> None:
    """Who has a turn may have another at once; not when somebody waits, nor after it has ended."""
    turns = Turns(held_at_most_s=0.1)
    first = await turns.take()
    began_s = first.since_s
    await asyncio.sleep(0.001)
    assert turns.again(first)
    assert first.since_s > began_s
    second = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    assert not turns.again(first)
    turns.give_back(first)
    assert not turns.again(first)
    turns.give_back(await second)


async def test_background_work_lets_others_go_first() -> None:
    """Background work that came first goes when nobody else waits any more."""
    turns, ran = Turns(), []

    async def work(name: str, **how: float) -> None:
        turn = await turns.take(**how)
        ran.append(name)
        turns.give_back(turn)

    held = await turns.take()
    tasks = [asyncio.create_task(work("warming", patience_s=60))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(work(name)) for name in "ab"]
    await asyncio.sleep(0)
    turns.give_back(held)
    await asyncio.gather(*tasks)
    assert ran == ["a", "b", "warming"]


async def test_background_work_is_not_starved() -> None:
    """On a gate that is never free, background work goes when its patience has ended."""
    turns, done = Turns(), asyncio.Event()

    async def serve() -> None:
        while not done.is_set():
            turn = await turns.take()
            await asyncio.sleep(0)
            turns.give_back(turn)

    serving = [asyncio.create_task(serve()) for _ in range(2)]
    await asyncio.sleep(0)
    turn = await asyncio.wait_for(turns.take(patience_s=0.02), 5)
    done.set()
    turns.give_back(turn)
    await asyncio.gather(*serving)


async def test_a_turn_without_end_keeps_nobody_waiting() -> None:
    """Who hangs loses its turn to the next, and what it gives back much later disturbs nobody."""
    turns = Turns(held_at_most_s=0.02)
    hung = await turns.take()
    second = await asyncio.wait_for(turns.take(), 5)
    turns.give_back(hung)
    third = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    assert not third.done()
    turns.give_back(second)
    turns.give_back(await third)


ASKERS = st.tuples(st.booleans(), st.booleans(), st.sampled_from([1, 2, None]))


@given(st.lists(ASKERS, min_size=1, max_size=12), st.integers(0, 12), st.integers(1, 3))
def test_whoever_is_cancelled_no_turn_is_lost(
    askers: list[tuple[bool, bool, int | None]], after: int, cores: int
) -> None:
    """Whoever is cancelled, waiting or just given its turn: no core is given twice, all others run, it ends free."""

    async def scenario() -> None:
        turns, ran, running = Turns(cores), set(), 0

        async def work(number: int, wanted: int | None, *, background: bool) -> None:
            nonlocal running
            turn = await turns.take(wanted, patience_s=60 if background else 0)
            running += turn.cores
            assert running <= cores
            await asyncio.sleep(0)
            ran.add(number)
            running -= turn.cores
            turns.give_back(turn)

        held = await turns.take()
        tasks = [asyncio.create_task(work(n, few, background=back)) for n, (back, _, few) in enumerate(askers)]
        await asyncio.sleep(0)
        cancelled = [n for n, (_, cancel, _) in enumerate(askers) if cancel]
        for number in cancelled[:after]:
            tasks[number].cancel()
        turns.give_back(held)
        for number in cancelled[after:]:
            tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert ran == {n for n, (_, cancel, _) in enumerate(askers) if not cancel}
        await asyncio.wait_for(turns.take(), 1)

    asyncio.run(scenario())


async def test_warming_in_a_thread_takes_a_turn_a_batch() -> None:
    """A new version that warms in a thread runs no batch while another one does, and lets go between batches."""
    turns, model = Turns(), brightness()
    held = await turns.take()
    between = turns.from_thread(asyncio.get_running_loop())
    warming = asyncio.create_task(asyncio.to_thread(measure_pace, model, between=between))
    predict, batches = model.engine.predict, []

    def counted(images):  # type: ignore[no-untyped-def]  # as the engine's own
        batches.append(len(images))
        return predict(images)

    model.engine.predict = counted  # type: ignore[method-assign]  # the test listens in
    await asyncio.sleep(0.05)
    assert batches == []
    turns.give_back(held)
    for _ in range(3):
        turns.give_back(await turns.take())
    await until(warming.done)
    assert sorted(batches) == sorted([*SIZES] * (1 + ROUNDS))
