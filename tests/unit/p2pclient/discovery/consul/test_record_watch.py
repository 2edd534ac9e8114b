"""The record of a split is followed through all that Consul may say of it, in virtual time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from p2pclient.discovery.consul.record_watch import RecordWatch
from p2pclient.discovery.consul.source import ConsulSource
from p2pclient.discovery.rollout import Record
from registry.rollout.record import Rollout
from tests.support.event_loops.virtual_time import run
from tests.support.lookups.consul_in_virtual_time import VirtualConsul

THREE, FOUR = Record({"3": 1}), Record({"4": 1})
MINUTES_S = 600.0


@asynccontextmanager
async def followed(*, split: Record | None = None) -> AsyncIterator[tuple[VirtualConsul, RecordWatch]]:
    """A Consul, with a record if `split` is given, and what follows that record; one question has been answered."""
    consul = VirtualConsul("flowers", {})
    if split is not None:
        consul.split(Rollout(split.split))
    watch = RecordWatch(ConsulSource(consul, [URL("http://consul")])._servers, "flowers")
    await watch.followed(limit_s=1)
    assert watch.record == (split or Record())
    try:
        yield consul, watch
    finally:
        await watch.close()


@pytest.fixture(autouse=True)
def _all_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_service_without_a_record_costs_one_idle_question(caplog: pytest.LogCaptureFixture) -> None:
    """One is open all the while, another one follows each minute, and nothing is logged."""

    async def main() -> None:
        async with followed() as (consul, watch):
            await asyncio.sleep(MINUTES_S)
            assert consul.open == 1
            assert len(consul.asked) <= 2 + MINUTES_S / 55
            assert watch.record == Record()

    run(main())
    assert caplog.messages == []


def test_a_change_is_known_at_once() -> None:
    """The first record, and each one that comes half a second after another."""

    async def main() -> None:
        async with followed() as (consul, watch):
            for expected in (THREE, FOUR, THREE):
                await asyncio.sleep(0.5)
                since_s = time.monotonic()
                consul.split(Rollout(expected.split))
                assert await watch.until(lambda record, wanted=expected: record == wanted) == expected
                assert time.monotonic() - since_s < 0.001

    run(main())


def test_a_store_that_others_write_to_is_not_asked_at_each_write() -> None:
    """Where each write is answered by "no record", questions come every 5 s in the end; a record is found then."""

    async def main() -> None:
        async with followed() as (consul, watch):
            consul.noise = True
            consul.write(None)
            await asyncio.sleep(MINUTES_S)
            assert len(consul.asked) < 30 + MINUTES_S / 5
            since_s = time.monotonic()
            consul.split(Rollout({"3": 1}))
            await watch.until(lambda record: record == THREE)
            assert time.monotonic() - since_s <= 5.0

    run(main())


def test_a_token_without_the_right_is_a_service_without_a_record(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, which right is missing too, and asked about once a minute; the right may come."""

    async def main() -> None:
        consul = VirtualConsul("flowers", {})
        consul.denies = "record"
        consul.split(Rollout({"3": 1}))
        watch = RecordWatch(ConsulSource(consul, [URL("http://consul")])._servers, "flowers")
        assert await watch.read(limit_s=5) == Record()
        assert await watch.read(limit_s=5) == Record()
        assert len(consul.asked) == 1
        assert await watch.followed(limit_s=1) == Record()
        await asyncio.sleep(MINUTES_S)
        assert len(consul.asked) <= 30
        (said,) = caplog.messages
        assert said.startswith("flowers: the split cannot be read, calls are not split: Consul at http://consul refuse")
        assert 'key_prefix "p2p-serving/rollouts/" { policy = "read" }' in said
        consul.denies = ""
        await watch.until(lambda record: record == THREE)
        await watch.close()

    run(main())
    assert caplog.messages[1:] == ["flowers: the split is followed again"]


@pytest.mark.parametrize("value", [b"no JSON", b'{"split": {"3": -1}}', None])
def test_what_cannot_be_used_changes_nothing(value: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    """The last record holds, with one warning, and the next good one is taken up; a missing one was lost."""

    async def main() -> None:
        async with followed(split=THREE) as (consul, watch):
            for _ in range(3):
                consul.write(value)
                await asyncio.sleep(60)
            assert watch.record == THREE
            consul.split(Rollout({"4": 1}))
            assert await watch.until(lambda record: record == FOUR)
            consul.split(Rollout())
            assert await watch.until(lambda record: record == Record())

    run(main())
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert ("the last one holds" if value is None else "the last good one holds") in said.getMessage()


def test_the_last_record_holds_while_consul_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once; what was changed meanwhile is taken up within half a minute of Consul's return."""

    async def main() -> None:
        async with followed(split=THREE) as (consul, watch):
            consul.leave()
            await asyncio.sleep(MINUTES_S)
            assert watch.record == THREE
            consul.split(Rollout({"4": 1}))
            consul.away = False
            since_s = time.monotonic()
            await watch.until(lambda record: record == FOUR)
            assert time.monotonic() - since_s <= 30

    run(main())
    assert [record.getMessage().partition(":")[2][:30] for record in caplog.records] == [
        " the split cannot be read, the",
        " the split is followed again",
    ]


def test_an_agent_that_lost_its_data_ends_no_split() -> None:
    """Its answers count from 1 again; the record is followed from there."""

    async def main() -> None:
        async with followed(split=THREE) as (consul, watch):
            consul.lose_data()
            await asyncio.sleep(60)
            assert watch.record == THREE
            consul.split(Rollout({"4": 1}))
            assert await watch.until(lambda record: record == FOUR)

    run(main())


def test_an_agent_without_a_leader_is_asked_until_it_has_one() -> None:
    """What it says meanwhile may be old; it is asked every 5 s in the end, and believed then."""

    async def main() -> None:
        async with followed(split=THREE) as (consul, watch):
            consul.leaderless = True
            consul.split(Rollout({"4": 1}))
            await asyncio.sleep(MINUTES_S)
            assert watch.record == THREE
            assert len(consul.asked) < 30 + MINUTES_S / 5
            consul.leaderless = False
            since_s = time.monotonic()
            await watch.until(lambda record: record == FOUR)
            assert time.monotonic() - since_s <= 5.0

    run(main())


def test_a_failure_of_the_code_does_not_end_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged, and the record is asked for again."""

    async def main() -> None:
        async with followed(split=THREE) as (consul, watch):

            def broken(_: object) -> None:
                raise ZeroDivisionError

            with monkeypatch.context() as patch:
                patch.setattr(watch, "_take", broken)
                consul.split(Rollout({"4": 1}))
                await asyncio.sleep(1)
            assert await watch.until(lambda record: record == FOUR)

    run(main())
    assert "the split is followed further after this" in caplog.text
