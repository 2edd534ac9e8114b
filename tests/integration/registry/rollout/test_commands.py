"""`p2p split`, `promote` and `rollback` against a real Consul, a lookup service, and workers under load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from p2pclient import AsyncClient
from registry.consul.key_value import KeyValue
from registry.consul.settings import ConsulSettings
from registry.rollout import abort_conditions, commands, promotion
from registry.rollout.abort_conditions import conditions
from registry.rollout.commands import Change
from registry.rollout.promotion import Outcome, Promoter, Promotion
from registry.rollout.record import Rollout, key_of
from registry.rollout.record_store import ChangedMeanwhile, RecordStore
from registry.rollout.version_reader import VersionReader, reading_versions
from registry.runtime.errors import SettingsError
from registry.runtime.tls.trust import TrustFiles
from registry.server import running
from registry.settings import RegistrySettings
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until
from tests.support.workers.versioned_worker import VersionedWorker, versioned_worker

IMAGE = b"\xff\xd8 an image"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A promotion looks at the metrics several times a second, and judges by a few requests."""
    monkeypatch.setattr(promotion, "LOOK_S", 0.2)
    monkeypatch.setattr(abort_conditions, "ENOUGH_REQUESTS", 5)


@dataclass
class Flowers:
    """A service with a worker of version 3 and one of version 4."""

    service: str
    old: VersionedWorker
    new: VersionedWorker
    store: KeyValue
    records: RecordStore
    reader: VersionReader

    def promoter(self, said: list[str], stop: asyncio.Event, *, over_s: float, steps: int, abort_if: str) -> Promoter:
        wanted = Promotion(self.service, "4", over_s, steps, conditions(abort_if))
        return Promoter(wanted, self.records, self.reader, say=said.append, stop=stop)

    async def record(self) -> Rollout:
        return (await self.records.load()).rollout


@asynccontextmanager
async def flowers(consul: ConsulProcess) -> AsyncIterator[Flowers]:
    service = f"flowers-{uuid.uuid4().hex[:8]}"
    settings = ConsulSettings(url=consul.url)
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(versioned_worker(consul.url, service, "3"))
        new = await stack.enter_async_context(versioned_worker(consul.url, service, "4"))
        reading = reading_versions(settings, service, trust=TrustFiles(), token=None)
        reader = await stack.enter_async_context(reading)
        store = KeyValue(settings)
        stack.push_async_callback(store.close)

        async def both() -> bool:
            return len([each for each in await reader.instances() if each.health.serving]) == 2

        await until(both)
        yield Flowers(service, old, new, store, RecordStore(store, service), reader)


@asynccontextmanager
async def load(consul: ConsulProcess, service: str) -> AsyncIterator[list[BaseException]]:
    """Calls without a pause, through a lookup service, while the context is open; the errors of those that failed."""
    settings = RegistrySettings(ConsulSettings(url=consul.url), port=0, service=service)
    failures: list[BaseException] = []
    async with running(settings) as registry, AsyncClient(registry.url, service=service) as client:

        async def call() -> None:
            while True:
                try:
                    await client.classify(IMAGE)
                except Exception as error:
                    failures.append(error)
                await asyncio.sleep(0.002)

        calls = asyncio.create_task(call())
        try:
            yield failures
        finally:
            calls.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await calls


async def test_a_split_is_written_shown_and_taken_back(shared_consul: ConsulProcess) -> None:
    async with flowers(shared_consul) as it:
        said = await commands.change(it.records, it.reader, it.service, Change({"3": 90, "4": 10}))
        assert said == [f"The split of {it.service} is 3=90 4=10; it was none, all workers by weight."]
        said = await commands.change(it.records, it.reader, it.service, Change(shadows={"4": 5.0}))
        assert said == [f"The shadows of {it.service} are 4=5%."]
        said = await commands.change(it.records, it.reader, it.service, Change({"3": 1, "7": 1}))
        assert said == [
            f"The split of {it.service} is 3=1 7=1; it was 3=90 4=10.",
            f"Version 7 of {it.service} has a weight and no healthy worker: version 3 gets the calls.",
        ]
        said = await commands.rollback(it.records, it.reader, it.service)
        assert said == [f"The split of {it.service} is 3=90 4=10; it was 3=1 7=1."]
        assert await it.record() == Rollout({"3": 90, "4": 10}, {"4": 5.0}, {"3": 1, "7": 1})
        await commands.change(it.records, it.reader, it.service, Change(off=True))
        assert await it.record() == Rollout({}, {}, {"3": 90, "4": 10})


async def test_nothing_was_changed_and_there_is_nothing_to_go_back_to(shared_consul: ConsulProcess) -> None:
    async with flowers(shared_consul) as it:
        with pytest.raises(SettingsError, match="nothing to go back to"):
            await commands.rollback(it.records, it.reader, it.service)


async def test_the_table_shows_what_each_version_counts(shared_consul: ConsulProcess) -> None:
    async with flowers(shared_consul) as it:
        await commands.change(it.records, it.reader, it.service, Change({"3": 1, "4": 1, "9": 2}))
        it.new.fails = lambda _: True
        lines = await commands.shown(it.records, it.reader, it.service, measured_s=0.01, as_object=False)
        async with load(shared_consul, it.service):

            async def both_counted() -> dict[str, dict[str, float]]:
                (text,) = await commands.shown(it.records, it.reader, it.service, measured_s=0.2, as_object=True)
                rows = {row["version"]: row for row in json.loads(text)["versions"]}
                return rows if rows["3"]["requests_per_s"] and rows["4"]["requests_per_s"] else {}

            versions = await until(both_counted)
        assert lines[0] == f"{it.service}: split 3=1 4=1 9=2; shadows none"
        assert [line.split()[:5] for line in lines[2:5]] == [
            ["3", "1", "50", "%", "1"],
            ["4", "1", "50", "%", "1"],
            ["9", "2", "0", "%", "0"],
        ]
        assert lines[5].startswith(f"Version 9 of {it.service} has a weight and no healthy worker")
        assert versions["3"]["errors"] == 0
        assert versions["4"]["errors"] == 1
        assert versions["4"]["p99_s"] > 0
        assert versions["9"]["requests_per_s"] == 0


async def test_a_version_is_promoted_under_load_without_a_failed_call(shared_consul: ConsulProcess) -> None:
    async with flowers(shared_consul) as it, load(shared_consul, it.service) as failures:
        await commands.change(it.records, it.reader, it.service, Change({"3": 1}))
        said: list[str] = []
        # Two processes answer the same in the same time: only errors are judged, as times depend on the machine.
        promoter = it.promoter(said, asyncio.Event(), over_s=1.5, steps=3, abort_if="errors>1%")
        assert await promoter.run() is Outcome.PROMOTED
        assert [line for line in said if line.startswith("Step")] == [
            "Step 1 of 3: 3=67 4=33",
            "Step 2 of 3: 3=33 4=67",
            "Step 3 of 3: 4=100",
        ]
        assert failures == []
        assert it.new.answered > 0
        assert await it.record() == Rollout({"4": 100}, {}, {"3": 1})
        await commands.rollback(it.records, it.reader, it.service)
        assert (await it.record()).split == {"3": 1}
        assert failures == []


async def test_a_version_with_errors_is_given_up(shared_consul: ConsulProcess) -> None:
    """The former split is back, and the calls that met with an error were answered by the other version."""
    async with flowers(shared_consul) as it, load(shared_consul, it.service) as failures:
        await commands.change(it.records, it.reader, it.service, Change({"3": 100}))
        it.new.fails = lambda _: True
        said: list[str] = []
        promoter = it.promoter(said, asyncio.Event(), over_s=80.0, steps=4, abort_if="errors>1%")
        assert await promoter.run() is Outcome.ABORTED
        assert said[-1].startswith("Aborted: errors 100 % is > 1%. The split of")
        assert await it.record() == Rollout({"3": 100}, {}, {"3": 75, "4": 25})
        assert failures == []


async def test_an_interruption_leaves_the_split_of_the_last_step(shared_consul: ConsulProcess) -> None:
    async with flowers(shared_consul) as it:
        said: list[str] = []
        stop = asyncio.Event()
        promoting = asyncio.create_task(it.promoter(said, stop, over_s=600, steps=4, abort_if="").run())
        await until(lambda: said)
        stop.set()
        assert await promoting is Outcome.INTERRUPTED
        # Without a record each of the two workers had half of the calls.
        assert said[-1] == (
            f"Interrupted: the split of {it.service} stays 3=38 4=62. "
            f"p2p rollback {it.service} returns to none, all workers by weight."
        )
        assert await it.record() == Rollout({"3": 38, "4": 62}, {}, {})


async def test_of_two_promoters_one_ends(shared_consul: ConsulProcess) -> None:
    """The one whose record was changed by somebody else says so and writes nothing any more."""
    async with flowers(shared_consul) as it:
        first_said: list[str] = []
        first = asyncio.create_task(it.promoter(first_said, asyncio.Event(), over_s=600, steps=3, abort_if="").run())
        await until(lambda: first_said)
        await commands.change(it.records, it.reader, it.service, Change({"3": 1}))
        with pytest.raises(ChangedMeanwhile, match="this promotion ends here"):
            await first
        assert (await it.record()).split == {"3": 1}


async def test_a_record_that_was_changed_is_not_overwritten(shared_consul: ConsulProcess) -> None:
    async with flowers(shared_consul) as it:
        stale = await it.records.load()
        written = await it.records.replace(stale, Rollout({"3": 1}))
        with pytest.raises(ChangedMeanwhile):
            await it.records.replace(stale, Rollout({"4": 1}))
        assert await it.records.load() == written
        assert await it.records.unchanged(written)


async def test_a_record_that_cannot_be_read_is_replaced(shared_consul: ConsulProcess) -> None:
    async with flowers(shared_consul) as it:
        await it.store.put(key_of(it.service), b"{")
        said = await commands.change(it.records, it.reader, it.service, Change({"3": 1}))
        assert said[0] == "The record in Consul cannot be read: it is no JSON. It counts as none."
        assert await it.record() == Rollout({"3": 1}, {}, {})


@pytest.mark.parametrize(
    ("version", "sentence"),
    [("9", r"serves version 9: start one first. Versions with healthy workers: 3, 4"), ("4", "has all calls of")],
)
async def test_what_cannot_be_promoted(shared_consul: ConsulProcess, version: str, sentence: str) -> None:
    async with flowers(shared_consul) as it:
        await commands.change(it.records, it.reader, it.service, Change({"4": 1}))
        wanted = Promotion(it.service, version, 1.0, 1, ())
        promoter = Promoter(wanted, it.records, it.reader, say=print, stop=asyncio.Event())
        with pytest.raises(SettingsError, match=sentence):
            await promoter.run()


async def test_what_cannot_be_judged_is_not_promoted(shared_consul: ConsulProcess) -> None:
    """Workers that want an operator's token for their metrics say so before anything is changed."""
    async with flowers(shared_consul) as it:
        it.new.denies_metrics = True
        promoter = it.promoter([], asyncio.Event(), over_s=1.0, steps=1, abort_if="errors>1%")
        with pytest.raises(SettingsError, match=r"it answered 401\. Give an operator's token in P2P_TOKEN"):
            await promoter.run()
        assert await it.record() == Rollout()


async def run_p2p(consul: ConsulProcess, *arguments: str) -> asyncio.subprocess.Process:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("P2P_", "CONSUL_"))}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "p2pclient", *arguments,
        env=clean | {"CONSUL_HTTP_ADDR": consul.url}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_the_commands_print_sentences_and_end_with_their_codes(shared_consul: ConsulProcess) -> None:
    """Wrong arguments are one sentence with code 1; Ctrl-C ends a promotion with code 130, after the record is told."""
    async with flowers(shared_consul) as it:
        wrong, promoting = (
            await run_p2p(shared_consul, "split", it.service, "3=ninety"),
            await run_p2p(shared_consul, "promote", it.service, "4", "--over", "10m", "--abort-if", ""),
        )
        assert promoting.stdout is not None
        assert (await promoting.stdout.readline()).startswith(b"Step 1 of 5: ")
        promoting.send_signal(signal.SIGINT)
        out, _ = await promoting.communicate()
        assert (promoting.returncode, out.startswith(b"Interrupted: the split of ")) == (130, True)
        _, error = await wrong.communicate()
        assert (wrong.returncode, error) == (
            1,
            b"error: 3=ninety is no weight: give a whole number, as in 3=90 4=10.\n",
        )


async def test_a_shadow_gets_copies_and_its_agreement_is_shown(shared_consul: ConsulProcess) -> None:
    """The caller is answered by version 3 alone, also while the shadow hangs; what it answers is compared."""
    async with flowers(shared_consul) as it:
        await commands.change(it.records, it.reader, it.service, Change({"3": 1}, {"4": 100.0}))
        settings = RegistrySettings(ConsulSettings(url=shared_consul.url), port=0, service=it.service)
        async with running(settings) as registry, AsyncClient(registry.url, service=it.service) as client:
            followed = registry.directory.followed(it.service)
            assert followed is not None
            await until(lambda: followed.rollout is not None and len(followed.snapshot.serving) == 2)
            it.new.hold.clear()
            answers = [await client.classify(IMAGE) for _ in range(6)]
            assert {answer.worker for answer in answers} == {it.old.instance.address}
            await until(lambda: len(it.new.copies) == 4)  # as many as may be under way: two were dropped
            assert re.fullmatch("best=tabby;score=0.6;dropped=[0-2]", it.new.copies[0])
            it.new.hold.set()
            await until(lambda: b'compared_total{agreed="yes"' in it.new.metrics.text())
            it.new.best = "a new/label"

            async def disagrees() -> bool:
                await client.classify(IMAGE)
                return b'compared_total{agreed="no"' in it.new.metrics.text()

            await until(disagrees)
            (text,) = await commands.shown(it.records, it.reader, it.service, measured_s=0.05, as_object=True)
        row = {row["version"]: row for row in json.loads(text)["versions"]}["4"]
        assert (it.new.answered, row["share"], row["shadow"]["percent"]) == (0, 0.0, 100.0)
        assert row["shadow"]["dropped"] >= 2
        assert 0 < row["shadow"]["agreement"] < 1
        assert row["shadow"]["score_difference"] == pytest.approx(0.1)
