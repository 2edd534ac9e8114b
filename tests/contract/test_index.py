"""The index and blocking queries: when it grows, who is woken by what, and when a wait ends by itself."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.contract.conftest import Api

READS = [
    "health/service/{name}",
    "catalog/service/{name}",
    "catalog/services",
    "health/state/any",
    "health/checks/{name}",
]


@pytest.mark.parametrize("path", [*READS, "catalog/nodes", "catalog/node/{node}", "health/node/{node}", "kv/{name}"])
async def test_an_index_is_never_zero(api: Api, name: str, node: str, path: str) -> None:
    """Every read that can block must name an index above 0, a known leader and no lag, found or not."""
    reply = await api.get(path.format(name=name, node=node))
    assert reply.index > 0
    assert reply.headers["X-Consul-KnownLeader"] == "true"
    assert reply.headers["X-Consul-LastContact"] == "0"


@pytest.mark.parametrize("path", READS)
async def test_a_change_wakes_a_blocked_read(api: Api, name: str, path: str) -> None:
    """A read blocked at the present index must return, with a higher one, when what it reads changes."""
    before = await api.register(name, Check={"CheckID": f"{name}-c", "TTL": "1h", "Status": "passing"})
    path = path.format(name=name)
    known = max(before.index, (await api.get(path)).index)
    watch = await api.blocked(path, known)
    await api.do(f"agent/service/deregister/{name}")
    after = await asyncio.wait_for(watch, 5)
    assert after.index > known


async def test_a_change_of_status_wakes(api: Api, name: str) -> None:
    """A check that goes from passing to critical must wake the service's watchers with the new status."""
    before = await api.register(name, Check={"CheckID": f"{name}-c", "TTL": "1h", "Status": "passing"})
    watch = await api.blocked(f"health/service/{name}?passing", before.index)
    await api.do(f"agent/check/fail/{name}-c")
    after = await asyncio.wait_for(watch, 5)
    assert (after.json, after.index > before.index) == ([], True)


async def test_a_change_elsewhere_wakes_no_watcher(api: Api, name: str) -> None:
    """A watcher of one service must sleep through what happens to another, and keep its index."""
    before = await api.register(name, Check={"CheckID": f"{name}-c", "TTL": "1h"})
    watch = await api.blocked(f"health/service/{name}", before.index)
    await api.register(f"{name}-other", Check={"CheckID": f"{name}-o", "TTL": "1h"})
    await api.do(f"agent/check/pass/{name}-o")
    await api.do(f"agent/service/deregister/{name}-other")
    await api.settle()
    assert not watch.done()
    assert (await api.get(f"health/service/{name}")).index == before.index
    await api.do(f"agent/check/pass/{name}-c")
    assert (await asyncio.wait_for(watch, 5)).index > before.index


async def test_an_output_alone_wakes_no_watcher(api: Api, name: str) -> None:
    """A heartbeat whose note alone is new shows at the agent, but neither wakes watchers nor moves their index."""
    before = await api.register(name, Check={"CheckID": f"{name}-c", "TTL": "1h", "Status": "passing"})
    await api.do(f"agent/check/pass/{name}-c?note=load%200.3")
    await api.settle()
    assert (await api.get("agent/checks")).json[f"{name}-c"]["Output"] == "load 0.3"
    assert (await api.get(f"health/service/{name}")).index == before.index


async def test_the_first_instance_wakes_who_waits_for_it(api: Api, name: str) -> None:
    """A watcher of a service that does not exist must be woken by its first instance."""
    empty = await api.get(f"health/service/{name}")
    assert empty.json == []
    watch = await api.blocked(f"health/service/{name}", empty.index)
    await api.do("agent/service/register", {"Name": name})
    reply = await asyncio.wait_for(watch, 5)
    while not reply.json:  # the real one may wake such a watcher for a neighbour's sake
        reply = await api.get(f"health/service/{name}?index={reply.index}&wait=5s")
    assert reply.index > empty.index


async def test_the_index_of_a_service_that_is_gone(api: Api, name: str) -> None:
    """A service without instances keeps the index at which one was last lost, whatever is registered elsewhere."""
    await api.register(name)
    await api.do(f"agent/service/deregister/{name}")
    gone = await api.until(f"health/service/{name}", lambda found: not found)
    await api.register(f"{name}-other")
    assert (await api.get(f"health/service/{name}")).index == gone.index


async def test_a_wait_ends_by_itself(api: Api, name: str) -> None:
    """Without a change a wait ends after its time and at most a sixteenth more, same index, same answer."""
    before = await api.register(name)
    began_s = time.monotonic()
    after = await api.get(f"health/service/{name}?index={before.index}&wait=400ms")
    took_s = time.monotonic() - began_s
    assert (after.index, after.text) == (before.index, before.text)
    assert took_s >= 0.4
    assert took_s < 0.4 * 17 / 16 + 10  # a busy machine needs more; the default would be 5 minutes


@pytest.mark.parametrize("wait", ["300ms", "0.3s", "300000us"])
async def test_durations(api: Api, name: str, wait: str) -> None:
    """A wait may be written in any of Go's units."""
    known = (await api.register(name)).index
    began_s = time.monotonic()
    await api.get(f"health/service/{name}?index={known}&wait={wait}")
    assert time.monotonic() - began_s >= 0.3


async def test_an_old_index_is_answered_at_once(api: Api, name: str) -> None:
    """An index below the present one, and 1 above all, must not block."""
    known = (await api.register(name)).index
    for index in (1, known - 1):
        reply = await asyncio.wait_for(api.get(f"health/service/{name}?index={index}&wait=20s"), 5)
        assert reply.index == known


async def test_an_index_from_the_future_waits(api: Api, name: str) -> None:
    """An index above the present one, as after a loss of data, waits for its time and is told the lower one."""
    known = (await api.register(name)).index
    began_s = time.monotonic()
    reply = await api.get(f"health/service/{name}?index={known + 10_000}&wait=300ms")
    assert (reply.index, time.monotonic() - began_s >= 0.3) == (known, True)


@pytest.mark.parametrize(("query", "word"), [("", "leader"), ("stale", "stale"), ("consistent", "consistent")])
async def test_consistency_is_named(api: Api, name: str, query: str, word: str) -> None:
    """The answer says in which way it was read."""
    reply = await api.get(f"health/service/{name}?{query}")
    assert reply.headers["X-Consul-Effective-Consistency"] == word


async def test_hundreds_of_watchers(api: Api, name: str) -> None:
    """300 blocked reads of one service must all return at its change, while those of another sleep on."""
    before = await api.register(name, Check={"CheckID": f"{name}-c", "TTL": "1h", "Status": "passing"})
    other = await api.register(f"{name}-other")
    watches = await asyncio.gather(*(api.blocked(f"health/service/{name}", before.index) for _ in range(300)))
    others = [await api.blocked(f"health/service/{name}-other", other.index) for _ in range(3)]
    await api.do(f"agent/check/fail/{name}-c")
    replies = await asyncio.wait_for(asyncio.gather(*watches), 10)
    assert {reply.index > before.index for reply in replies} == {True}
    assert len({reply.text for reply in replies}) == 1
    assert not any(watch.done() for watch in others)
    await api.do(f"agent/service/deregister/{name}-other")
    assert {reply.text for reply in await asyncio.wait_for(asyncio.gather(*others), 10)} == {"[]"}
