"""What each answer of Consul does to the known keys: an error and a 404 nothing, a 200 what it says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from registry.consul.errors import ConsulRefused, ConsulUnavailable
from registry.consul.key_value import Entries
from registry.security.tickets import key_ring
from registry.security.tickets.key_folder import new_key
from registry.security.tickets.key_ring import KeyRing
from registry.security.tickets.public_key import PublishedKey, RevokedKey, written
from tests.support.waiting import until

ONE, TWO = new_key(1_000), new_key(2_000)
PUBLISHED = {key.key_id: written(PublishedKey(key.key_id, key.private.public_key(), "host", 0)) for key in (ONE, TWO)}
REVOKED = {ONE.key_id: written(RevokedKey(ONE.key_id, "host", 3_000)), TWO.key_id: PUBLISHED[TWO.key_id]}

Answer = Entries | ConsulUnavailable | ConsulRefused


class Store:
    """Gives these answers in turn, and none after them; `asked` are the indexes of the questions."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    async def under(self, _: str, *, index: int = 0) -> Entries:
        self.asked.append(index)
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def followed(
    monkeypatch: pytest.MonkeyPatch, store: Store, changed: Callable[[], None] = lambda: None
) -> KeyRing:
    """The ring after all answers of the store."""
    monkeypatch.setattr(key_ring, "backoff_s", lambda *_: 0.0)
    ring, count = KeyRing(store, changed), len(store.answers)  # type: ignore[arg-type]  # a fake
    task = asyncio.create_task(ring.run())
    await until(lambda: len(store.asked) > count)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return ring


async def test_a_200_does_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = await followed(monkeypatch, Store(Entries(5, PUBLISHED), Entries(6, REVOKED)))
    assert ring.published.keys() == ring.public_keys.keys() == {TWO.key_id}
    assert ring.revoked.keys() == {ONE.key_id}


@pytest.mark.parametrize(
    "answer",
    [ConsulUnavailable("away"), ConsulRefused("no right"), Entries(7, {}, missing=True), Entries(1, {}, missing=True)],
)
async def test_errors_and_a_404_empty_nothing(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    ring = await followed(monkeypatch, Store(Entries(5, PUBLISHED), answer))
    assert ring.published.keys() == PUBLISHED.keys()
    assert ring.known


async def test_before_the_first_200_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = await followed(monkeypatch, Store(ConsulUnavailable("away"), Entries(7, {}, missing=True)))
    assert (ring.known, ring.missing, ring.published) == (False, True, {})


async def test_an_entry_that_is_no_key_disturbs_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    odd = {"nonsense": b"{", ONE.key_id: PUBLISHED[TWO.key_id]}
    ring = await followed(monkeypatch, Store(Entries(5, PUBLISHED | odd)))
    assert ring.published.keys() == {TWO.key_id}
    assert "'nonsense' in Consul is ignored" in caplog.text


async def test_only_changes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    await followed(
        monkeypatch,
        Store(Entries(5, PUBLISHED), Entries(6, PUBLISHED), ConsulUnavailable("away"), Entries(7, REVOKED)),
        lambda: told.append(1),
    )
    assert len(told) == 2


async def test_the_question_goes_with_the_last_index_and_starts_anew_after_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(Entries(5, PUBLISHED), Entries(9, PUBLISHED), Entries(3, PUBLISHED), ConsulUnavailable("away"))
    await followed(monkeypatch, store)
    assert store.asked == [0, 5, 9, 0, 0]


async def test_an_outage_is_one_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await followed(
        monkeypatch,
        Store(Entries(5, PUBLISHED), *(ConsulUnavailable("It is away.") for _ in range(5)), Entries(6, PUBLISHED)),
    )
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "The ticket keys cannot be followed in Consul, and the 2 known ones stay valid: It is away.",
        "The ticket keys are followed in Consul again.",
    ]
