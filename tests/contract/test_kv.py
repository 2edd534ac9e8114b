"""Keys and values: what is written, how it is read back, conditions, prefixes and their indexes."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import pytest

from tests.contract.conftest import Api


async def put(api: Api, key: str, value: bytes, query: str = "") -> bool:
    reply = await api.put(f"kv/{key}{query}", value)
    assert reply.status == 200, reply
    return bool(reply.json)


async def test_a_value_comes_back(api: Api, name: str) -> None:
    """A value, its flags and its indexes must come back as Consul words them, and bare with ?raw."""
    assert await put(api, f"{name}/a", b"\x00\xffhi", "?flags=7")
    reply = await api.get(f"kv/{name}/a")
    (entry,) = reply.json
    assert entry == {
        "LockIndex": 0, "Key": f"{name}/a", "Flags": 7, "Value": b64encode(b"\x00\xffhi").decode(),
        "CreateIndex": reply.index, "ModifyIndex": reply.index,
    }  # fmt: skip
    async with api.session.get(f"{api.url}/v1/kv/{name}/a?raw") as response:
        assert await response.read() == b"\x00\xffhi"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_an_empty_value_is_null(api: Api, name: str) -> None:
    """A key without a value is there, and its value is null."""
    await put(api, name, b"")
    assert (await api.get(f"kv/{name}")).json[0]["Value"] is None
    assert (await api.get(f"kv/{name}?raw")).text == ""


async def test_odd_names(api: Api, name: str) -> None:
    """A key may hold blanks, slashes and letters of any script."""
    await put(api, f"{name}/%C3%BC%20x", b"1")
    assert (await api.get(f"kv/{name}/?keys")).json == [f"{name}/ü x"]


async def test_writing_the_same_again(api: Api, name: str) -> None:
    """A value that is already there must not move the index; another must, and CreateIndex stays."""
    await put(api, name, b"1")
    first = (await api.get(f"kv/{name}")).json[0]
    await put(api, name, b"1")
    assert (await api.get(f"kv/{name}")).json[0] == first
    await put(api, name, b"2")
    second = (await api.get(f"kv/{name}")).json[0]
    assert second["CreateIndex"] == first["CreateIndex"] < second["ModifyIndex"]


async def test_check_and_set(api: Api, name: str) -> None:
    """?cas=0 writes only what is not there, ?cas=N only what is still at N; each answers true or false."""
    assert await put(api, name, b"1", "?cas=0")
    assert not await put(api, name, b"2", "?cas=0")
    index = (await api.get(f"kv/{name}")).json[0]["ModifyIndex"]
    assert await put(api, name, b"3", f"?cas={index}")
    assert not await put(api, name, b"4", f"?cas={index}")
    assert (await api.get(f"kv/{name}?raw")).text == "3"
    assert (await api.ask("DELETE", f"kv/{name}?cas={index}")).json is False
    index = (await api.get(f"kv/{name}")).json[0]["ModifyIndex"]
    assert (await api.ask("DELETE", f"kv/{name}?cas={index}")).json is True
    assert (await api.get(f"kv/{name}")).status == 404


async def test_prefixes(api: Api, name: str) -> None:
    """?recurse lists entries and ?keys names under a prefix, in order, cut at a separator if there is one."""
    for key in ("b", "c/d", "c/e", "a", "c"):
        await put(api, f"{name}/{key}", key.encode())

    async def keys(path: str) -> list[str]:
        return [key.removeprefix(name) for key in (await api.get(f"kv/{name}{path}")).json]

    assert await keys("?keys") == ["/a", "/b", "/c", "/c/d", "/c/e"]
    assert await keys("/c?keys") == ["/c", "/c/d", "/c/e"]
    assert await keys("/?keys&separator=/") == ["/a", "/b", "/c", "/c/"]
    assert await keys("?keys&separator=/") == ["/"]
    entries = (await api.get(f"kv/{name}/c?recurse")).json
    assert [entry["Key"] for entry in entries] == [f"{name}/c", f"{name}/c/d", f"{name}/c/e"]


async def test_what_is_not_there(api: Api, name: str) -> None:
    """A key or prefix that is not there is a bare 404 with an index; removing it is true."""
    for path in ("", "?raw", "?recurse", "?keys"):
        reply = await api.get(f"kv/{name}{path}")
        assert (reply.status, reply.text, reply.index > 0) == (404, "", True)
    assert (await api.ask("DELETE", f"kv/{name}")).json is True


async def test_the_names_of_all_keys(api: Api, name: str) -> None:
    """All names are listed without a prefix, even where there are none; the old spelling of separator is taken."""
    await put(api, f"{name}/a", b"1")
    assert f"{name}/a" in (await api.get("kv/?keys")).json
    assert f"{name}/" in (await api.get("kv/?keys&seperator=/")).json


async def test_removing_a_prefix(api: Api, name: str) -> None:
    """?recurse removes all under a prefix and nothing beside it; the index of what is left never goes back."""
    for key in ("a", "c/d", "c/e", "cx"):
        await put(api, f"{name}/{key}", b"1")
    before = await api.get(f"kv/{name}?recurse")
    assert (await api.ask("DELETE", f"kv/{name}/c/?recurse")).json is True
    after = await api.get(f"kv/{name}?recurse")
    assert [entry["Key"] for entry in after.json] == [f"{name}/a", f"{name}/cx"]
    assert after.index > before.index


@pytest.mark.parametrize("query", ["", "?recurse", "?keys"])
async def test_a_write_wakes(api: Api, name: str, query: str) -> None:
    """A read blocked on a key or on a prefix above it must return when the key changes, and when it is removed."""
    path = f"kv/{name}/a{query}"
    await put(api, f"{name}/a", b"1")
    known = (await api.get(path)).index
    watch = await api.blocked(path, known)
    await put(api, f"{name}/a", b"2")
    reply = await asyncio.wait_for(watch, 5)
    assert (reply.status, reply.index > known) == (200, True)
    watch = await api.blocked(path, reply.index)
    await api.ask("DELETE", f"kv/{name}/a")
    gone = await asyncio.wait_for(watch, 5)
    assert (gone.status, gone.index > reply.index) == (404, True)


async def test_a_write_beneath_wakes(api: Api, name: str) -> None:
    """A read blocked on a prefix must return when any key beneath it is written."""
    await put(api, f"{name}/a/b", b"1")
    known = (await api.get(f"kv/{name}/?keys")).index
    watch = await api.blocked(f"kv/{name}/?keys", known)
    await put(api, f"{name}/c/d", b"1")
    reply = await asyncio.wait_for(watch, 5)
    assert (len(reply.json), reply.index > known) == (2, True)


async def test_a_write_beside_wakes_no_watcher(api: Api, name: str) -> None:
    """A read blocked on a key that exists must sleep through writes to its neighbours."""
    await put(api, f"{name}/a", b"1")
    known = (await api.get(f"kv/{name}/a")).index
    watch = await api.blocked(f"kv/{name}/a", known)
    await put(api, f"{name}/ab", b"1")
    await put(api, f"{name}/b", b"1")
    done, _ = await asyncio.wait([watch], timeout=0.2)
    assert not done
    await put(api, f"{name}/a", b"2")
    assert (await asyncio.wait_for(watch, 5)).index > known


async def test_size(api: Api, name: str) -> None:
    """A value of 512 KiB is taken, one byte more is refused with 413 and a sentence."""
    assert await put(api, name, b"x" * 524_288)
    reply = await api.put(f"kv/{name}", b"x" * 524_289)
    assert reply.status == 413
    assert reply.text.startswith("Request body(524289 bytes) too large, max size: 524288 bytes.")
