"""A worker's description at /openapi.json: all that is answered is described, and what is described is so."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

import worker.server.serve
from benchmarks.fuzz.openapi import examine
from tests.support.consul_process import ConsulProcess
from tests.support.workers.echo_worker import EchoWorker, echo_worker
from worker.server.app import build_app

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def apps() -> Any:
    """The applications that workers of this module are made of."""
    built: list[web.Application] = []

    def kept(*args: Any, **options: Any) -> web.Application:
        built.append(build_app(*args, **options))
        return built[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.server.serve, "build_app", kept)
        yield built


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def echo(shared_consul: ConsulProcess, apps: list[web.Application]) -> AsyncIterator[EchoWorker]:
    async with echo_worker(shared_consul.url) as running:
        yield running


async def test_every_route_is_described_and_the_other_way_round(echo: EchoWorker, apps: list[web.Application]) -> None:
    """Method and path of each route of the application are in the description, and nothing else is."""
    described = (await echo.get("/openapi.json")).json
    answered = {
        (route.method, route.resource.canonical)
        for route in apps[0].router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    operations = {(method.upper(), path) for path, item in described["paths"].items() for method in item}
    assert operations == answered
    assert len(operations) > 25


async def test_every_variable_and_reference_of_the_description_exists(echo: EchoWorker) -> None:
    """Each variable of a path is a parameter, and each schema that is referred to is there."""
    said = await echo.get("/openapi.json")
    for path, item in said.json["paths"].items():
        for operation in item.values():
            names = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert names == set(re.findall(r"\{(\w+)\}", path))
    schemas = said.json["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', said.body.decode()))
    assert referred <= schemas.keys()
    assert schemas["InferRequest"]["required"] == ["inputs"]


async def test_the_examples_of_the_description_are_answered(echo: EchoWorker) -> None:
    """Every request body that the description shows works as it stands."""
    paths = (await echo.get("/openapi.json")).json["paths"]
    shown = [
        (path.replace("{name}", "echo").replace("{version}", "1"), content["example"])
        for path, item in paths.items()
        for content in item.get("post", {}).get("requestBody", {}).get("content", {}).values()
        if "example" in content and "{label}" not in path
    ]
    assert len(shown) == 6
    for path, body in shown:
        assert (await echo.post(path, json.dumps(body).encode())).status == 200, path


async def test_schemathesis_finds_nothing_undescribed(echo: EchoWorker) -> None:
    """Shown and random requests meet no 5xx but 503 and 504, and no status, type or form that is not described."""
    boot = echo.running.state.boot
    phases = ("examples", "fuzzing")
    code, report = await examine(echo.url, boot, examples=3, phases=phases, seed=1)
    assert code == 0, report
    assert re.search(r"\d{2,} generated", report), report
