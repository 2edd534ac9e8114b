"""Lists of workers at Consul carry the split, and are new as soon as either changes; in virtual time."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from p2pclient.discovery.consul.source import ConsulSource
from p2pclient.failures import Failure
from p2pclient.transport.request_id import Identified
from registry.rollout.record import Rollout
from tests.support.event_loops.virtual_time import run
from tests.support.lookups.consul_in_virtual_time import VirtualConsul

WORKERS = {"a": "3", "b": "3", "c": "4"}


@asynccontextmanager
async def source(consul: VirtualConsul) -> AsyncIterator[ConsulSource]:
    found = ConsulSource(consul, [URL("http://consul")])
    try:
        yield found
    finally:
        await found.close()


def test_a_list_is_new_when_the_split_changes() -> None:
    """At once, although the workers do not change; their question goes on then, from the index where it was."""

    async def main() -> None:
        consul = VirtualConsul("flowers", WORKERS)
        async with source(consul) as at_consul:
            first = await at_consul.listing("flowers", after=None, limit_s=5)
            assert (first.rollout, len(first.workers)) == (None, 3)
            next_list = asyncio.ensure_future(at_consul.listing("flowers", after=first, limit_s=5))
            await asyncio.sleep(10)
            since_s = time.monotonic()
            consul.split(Rollout({"3": 90, "4": 10}, {"4": 5}))
            second = await next_list
            assert time.monotonic() - since_s < 0.001
            assert second.workers == first.workers
            assert second.rollout is not None
            assert (second.split, second.rollout.shadows) == ({"3": 90, "4": 10}, {"4": 5})
            # What changed between two questions is told at once, too.
            consul.split(Rollout({"4": 1}))
            await asyncio.sleep(1)
            assert (await at_consul.listing("flowers", after=second, limit_s=5)).split == {"4": 1}

    run(main())


def test_a_list_is_new_when_the_workers_change() -> None:
    """With the shares that hold then: a version without a healthy worker gives its share away."""

    async def main() -> None:
        consul = VirtualConsul("flowers", WORKERS)
        consul.split(Rollout({"3": 90, "4": 10}))
        async with source(consul) as at_consul:
            first = await at_consul.listing("flowers", after=None, limit_s=5)
            next_list = asyncio.ensure_future(at_consul.listing("flowers", after=first, limit_s=5))
            await asyncio.sleep(10)
            consul.health("c", "critical")
            second = await next_list
            assert second.rollout is not None
            assert (second.split, second.rollout.absent) == ({"3": 90}, ("4",))

    run(main())


def test_a_list_without_a_change_comes_after_a_minute() -> None:
    """Two questions are open meanwhile: one for the workers, one for the record."""

    async def main() -> None:
        consul = VirtualConsul("flowers", WORKERS)
        async with source(consul) as at_consul:
            first = await at_consul.listing("flowers", after=None, limit_s=5)
            since_s = time.monotonic()
            next_list = asyncio.ensure_future(at_consul.listing("flowers", after=first, limit_s=5))
            await asyncio.sleep(1)
            assert consul.open == 2
            assert await next_list == first
            assert 55 <= time.monotonic() - since_s < 60

    run(main())


def test_lookups_draw_among_the_versions() -> None:
    """By their shares, with known dice; one question about the record serves all of them."""

    async def main() -> None:
        consul = VirtualConsul("flowers", WORKERS)
        consul.split(Rollout({"3": 80, "4": 20}))
        async with source(consul) as at_consul:
            at_consul._chance = random.Random(1)
            named = [(await at_consul.next("flowers", count=None, limit_s=5))[0].version for _ in range(300)]
            assert abs(Counter(named)["4"] - 60) <= 3 * (300 * 0.2 * 0.8) ** 0.5
            assert len(consul.asked) <= 2
            consul.split(Rollout({"9": 1}))  # nobody of the split is there: all are used
            await asyncio.sleep(0.1)
            found = await at_consul.next("flowers", count=9, limit_s=5)
            assert {worker.id for worker in found} == {"a", "b", "c"}

    run(main())


def test_a_split_is_followed_again_with_the_workers() -> None:
    """A list that is asked for after Consul was away shows that it is back: the record does not wait for its pause."""

    async def main() -> None:
        consul = VirtualConsul("flowers", WORKERS)
        async with source(consul) as at_consul:
            first = await at_consul.listing("flowers", after=None, limit_s=5)
            next_list = asyncio.ensure_future(at_consul.listing("flowers", after=first, limit_s=5))
            await asyncio.sleep(1)
            consul.leave()
            with pytest.raises(Failure):
                await next_list
            await asyncio.sleep(300)
            consul.split(Rollout({"4": 1}))
            consul.away = False
            since_s = time.monotonic()
            back = await at_consul.listing("flowers", after=None, limit_s=5)
            assert (await at_consul.listing("flowers", after=back, limit_s=5)).split == {"4": 1}
            assert time.monotonic() - since_s < 0.001

    run(main())


def test_what_follows_a_record_belongs_to_no_call() -> None:
    """It outlives the call that began it, whose id and trace its questions would carry for ever."""

    async def main() -> None:
        consul = VirtualConsul("flowers", WORKERS)
        async with source(consul) as at_consul:
            with Identified("call-1"):
                await at_consul.next("flowers", count=None, limit_s=5)
            await asyncio.sleep(60)
            assert len(consul.asked) == 3
            assert consul.request_ids == set()

    run(main())


def test_a_record_that_cannot_be_asked_for_holds_up_nothing_else() -> None:
    """Without the right to read it, lists and lookups are as they are without a record."""

    async def main() -> None:
        consul = VirtualConsul("flowers", WORKERS)
        consul.split(Rollout({"4": 1}))
        consul.denies = "record"
        async with source(consul) as at_consul:
            since_s = time.monotonic()
            first = await at_consul.listing("flowers", after=None, limit_s=5)
            found = await at_consul.next("flowers", count=3, limit_s=5)
            assert (first.rollout, len(found)) == (None, 3)
            assert time.monotonic() - since_s < 0.001

    run(main())
