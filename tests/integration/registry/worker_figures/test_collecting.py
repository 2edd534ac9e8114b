"""Figures of real workers, from their metrics to the lookup service's answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from registry.consul.settings import ConsulSettings
from registry.security.access_settings import AccessSettings
from registry.server import running
from registry.settings import RegistrySettings
from tests.support.consul_process import ConsulProcess
from tests.support.photos import chelsea_jpeg
from tests.support.security.token_file import OPERATOR, write_tokens
from tests.support.waiting import until
from tests.support.workers.echo_worker import echo_worker

PHOTOS = 8


async def summary(http: aiohttp.ClientSession, url: str, service: str) -> dict[str, Any]:
    """What the summary says of one service; nothing while it does not know it."""
    async with http.get(f"{url}/summary") as answer:
        said = await answer.json()
    return next((each for each in said["services"] if each["name"] == service), {})


async def test_the_summary_has_rates_and_times_of_workers(shared_consul: ConsulProcess) -> None:
    """Requests that a worker answers become figures of the service, its version and itself, and its history."""
    settings = RegistrySettings(ConsulSettings(url=shared_consul.url), port=0, service="figured")
    photo = chelsea_jpeg()
    async with (
        running(settings) as registry,
        echo_worker(shared_consul.url, service="figured") as worker,
        aiohttp.ClientSession() as http,
    ):

        async def worker_known() -> bool:
            found = await summary(http, registry.url, "figured")
            return any(each["figures"] for each in found.get("workers", ()))

        await until(worker_known, within_s=30)
        for _ in range(PHOTOS):
            assert (await worker.post("/", photo)).status == 200

        async def counted() -> dict[str, Any]:
            found = await summary(http, registry.url, "figured")
            return found if found["figures"] and found["figures"]["requests_per_s"] else {}

        found = await until(counted, within_s=30)
        figures, (told,) = found["figures"], found["workers"]
        assert figures["errors"] == 0.0
        assert 0 < figures["p50_s"] <= figures["p99_s"]
        assert told["figures"]["engine"] == "echo"
        assert (told["figures"]["queue"], told["figures"]["fault"]) == (0, "")
        assert told["figures"]["p50_s"] == figures["p50_s"]
        assert [note for note in found["notes"] if "figures" in note] == []
        for query in ("", f"?worker={told['id']}"):
            async with http.get(f"{registry.url}/history/figured{query}") as answer:
                history = await answer.json()
            assert any(history["requests_per_s"])
            assert len(history["at"]) == len(history["p99_s"])
        async with http.get(f"{registry.url}/history/nothing") as answer:
            assert answer.status == 404


async def test_workers_with_tokens_tell_an_operator_only(shared_consul: ConsulProcess, tmp_path: Path) -> None:
    """Without a token the service's notes say what is missing; with an operator's there are figures."""
    access = AccessSettings(write_tokens(tmp_path))
    consul = ConsulSettings(url=shared_consul.url)

    async def told(token: str | None) -> dict[str, Any]:
        settings = RegistrySettings(consul, port=0, service="secret", worker_token=token)
        async with running(settings) as registry, aiohttp.ClientSession() as http:

            async def known() -> dict[str, Any]:
                found = await summary(http, registry.url, "secret")
                return found if any(each["figures"] for each in found.get("workers", ())) else {}

            return await until(known, within_s=30)

    async with echo_worker(shared_consul.url, service="secret", access=access):
        (without, with_token) = await asyncio.gather(told(None), told(OPERATOR))
    sentence = (
        "1 of 1 healthy workers do not tell their figures: it answered 401; "
        "the lookup service wants an operator's token for them in P2P_TOKEN"
    )
    assert sentence in without["notes"]
    assert with_token["workers"][0]["figures"]["fault"] == ""
    assert with_token["notes"] == []
