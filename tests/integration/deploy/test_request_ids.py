"""A request is followed by its id through the access logs of lookup service, proxy and worker."""

from __future__ import annotations

import logging
from typing import Any

import aiohttp
import pytest

from p2pclient import AsyncClient
from registry.agent.server import serve_agent
from registry.consul.settings import ConsulSettings
from registry.proxy.server import ProxySettings
from registry.proxy.server import running as proxy_running
from registry.runtime.logs.settings import LogSettings
from registry.server import running as registry_running
from registry.settings import RegistrySettings
from tests.support.photos import chelsea_jpeg
from tests.support.waiting import until
from tests.support.workers.echo_worker import echo_worker


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The fields of the access log's lines."""
    return [each.__dict__["fields"] for each in caplog.records if each.name == "registry.runtime.logs.access_log"]


async def test_one_id_stands_in_the_lines_of_all_who_handled_a_request(caplog: pytest.LogCaptureFixture) -> None:
    """Taken from the client, or made by the first who has a line of it; the worker's line names the stages."""
    caplog.set_level(logging.INFO)
    async with serve_agent(host="127.0.0.1", port=0) as agent:
        consul = ConsulSettings(url=agent.url)
        settings = RegistrySettings(consul, port=0, service="ids", log=LogSettings(access_sample=1.0))
        async with (
            registry_running(settings) as registry,
            echo_worker(agent.url, service="ids", access_log_sample=1.0) as worker,
            proxy_running(ProxySettings(consul, port=0, service="ids", access_log_sample=1.0)) as proxy,
            aiohttp.ClientSession() as http,
            AsyncClient(registry.url, routing="lookup") as client,
        ):

            async def handed_out() -> bool:
                async with http.get(f"{registry.url}/next") as answer:
                    return answer.status == 200

            await until(handed_out)
            async with http.post(proxy.url, data=chelsea_jpeg()) as answer:
                made = answer.headers["X-Request-Id"]
            address = worker.running.instance.address
            of_proxy = [line for line in lines(caplog) if line["request_id"] == made]
            assert [line.get("worker") for line in of_proxy] == [None, address]
            stages = {"receive_ms", "decode_ms", "queue_ms", "predict_ms", "encode_ms"}
            assert stages <= set(of_proxy[0])
            assert of_proxy[0]["bytes"] == of_proxy[1]["bytes"] > 0
            assert of_proxy[0]["received"] == len(chelsea_jpeg())
            caplog.clear()
            await client.classify(chelsea_jpeg())
            lookup, prediction = [line for line in lines(caplog) if line["path"] in ("/next", "/")]
            assert lookup["request_id"] == prediction["request_id"]
            assert (lookup["worker"], lookup["client"], prediction["client"]) == (address, "127.0.0.1", "127.0.0.1")
            caplog.clear()
            async with http.get(f"{registry.url}/instances/none?ticket=secret") as answer:
                refused = answer.headers["X-Request-Id"]
            (line,) = lines(caplog)
            assert (line["path"], line["status"], line["request_id"]) == ("/instances/none", 404, refused)
