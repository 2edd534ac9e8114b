"""What the lookup service's routes answer, over a catalog that the test changes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from registry.discovery.directory import Directory
from registry.instances.instance import Health, Instance
from registry.lookup.fast_path import FastPath
from registry.lookup.routes import build_app
from tests.support.fakes import FakeCatalog
from tests.support.waiting import until

A = Instance("classify", "a", "127.0.0.1", 9001, health=Health.WARNING, output="90% full")


async def test_a_new_check_output_alone_is_no_change() -> None:
    """`/instances` has the output as it is now; its index stays, and requests that wait for a change go on to wait."""
    catalog = FakeCatalog(classify=(A,))
    async with (
        Directory(catalog, default="classify") as directory,  # type: ignore[arg-type]  # a fake
        TestClient(TestServer(build_app(directory, FastPath(directory)))) as client,
    ):

        async def instances(query: str = "") -> Any:
            async with client.get(f"/instances/classify{query}") as answer:
                return await answer.json()

        first = await instances()
        waiting = asyncio.create_task(instances(f"?index={first['index']}&wait=30s"))
        assert first["instances"][0]["output"] == "90% full"
        catalog.put("classify", replace(A, output="91% full"))

        async def told() -> bool:
            return bool((await instances())["instances"][0]["output"] == "91% full")

        await until(told)
        assert (await instances())["index"] == first["index"]
        assert not waiting.done()
        catalog.put("classify", replace(A, health=Health.PASSING, output=""))
        assert (await waiting)["instances"][0]["health"] == "passing"
