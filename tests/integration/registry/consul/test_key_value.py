"""The key/value store over a real Consul: what is written is read, and changes are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from registry.consul.key_value import KeyValue
from registry.consul.settings import ConsulSettings
from tests.support.consul_process import ConsulProcess


@pytest_asyncio.fixture
async def store(shared_consul: ConsulProcess) -> AsyncIterator[KeyValue]:
    store = KeyValue(ConsulSettings(url=shared_consul.url))
    yield store
    await store.close()


async def test_entries_are_read_by_the_rest_of_their_keys(store: KeyValue) -> None:
    await store.put("a/one", b"\x00 1 \xff")
    await store.put("a/two", b"")
    await store.put("b/three", b"3")
    entries = await store.under("a/")
    assert (entries.values, entries.missing) == ({"one": b"\x00 1 \xff", "two": b""}, False)
    assert entries.index > 0


async def test_a_prefix_without_keys_is_missing(store: KeyValue) -> None:
    entries = await store.under("nothing/")
    assert (entries.values, entries.missing) == ({}, True)


async def test_a_change_is_waited_for(store: KeyValue) -> None:
    await store.put("c/one", b"1")
    before = await store.under("c/")
    waiting = asyncio.create_task(store.under("c/", index=before.index))
    await store.put("c/two", b"2")
    assert (await asyncio.wait_for(waiting, 10)).values == {"one": b"1", "two": b"2"}


async def test_removing_what_does_not_exist_is_harmless(store: KeyValue) -> None:
    await store.put("d/one", b"1")
    for _ in range(2):
        await store.delete("d/one")
    assert (await store.under("d/")).missing
