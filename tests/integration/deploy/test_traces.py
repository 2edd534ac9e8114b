"""One call is followed through client, lookup service and workers by what a collector of traces is sent."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Sequence
from typing import Any

import aiohttp
import numpy as np
import pytest
from numpy.typing import NDArray

from p2pclient import AsyncClient
from p2pclient.calls.call_state import CallState
from registry.agent.server import serve_agent
from registry.consul.settings import ConsulSettings
from registry.runtime.logs.settings import LogSettings
from registry.runtime.tracing import exporting
from registry.runtime.tracing.exporting import SpanExport
from registry.runtime.tracing.sampling import Sampling
from registry.server import running as registry_running
from registry.settings import RegistrySettings
from tests.support.photos import chelsea_jpeg
from tests.support.tracing.otlp_collector import Collector, SentSpan, otlp_collector
from tests.support.waiting import until
from tests.support.workers.echo_worker import echo_worker
from worker.engines import echo

STAGES = ["receive", "decode", "queue", "predict", "encode"]


class ScriptedEngine:
    """The echo engine whose first prediction fails and whose second one waits until it is let go; off at first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self._numbers = itertools.count(1)
        self._on = False
        predict = echo.Echo.predict

        def scripted(engine: echo.Echo, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            number = next(self._numbers) if self._on else 0
            if number == 1:
                raise RuntimeError("the first prediction fails")
            if number == 2:
                self.go.wait(20)
            return predict(engine, images)

        monkeypatch.setattr(echo.Echo, "predict", scripted)

    def start(self) -> None:
        self._on = True


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Spans are sent at once, and the last ones whenever that may be."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setattr(exporting, "FLUSH_S", 30.0)
    return monkeypatch


async def handed_out(http: aiohttp.ClientSession, url: str, workers: int) -> None:
    async def all_of_them() -> bool:
        async with http.get(f"{url}/next?count={workers}", headers={"Accept": "application/json"}) as answer:
            return answer.status == 200 and len(await answer.json()) == workers

    await until(all_of_them)


async def test_a_hedged_and_retried_call_is_one_tree(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Caller, call, lookups, attempts beside one another, a worker's request, its stages, and the batch that links."""
    environment.setattr(CallState, "late_after_s", lambda state, *_: 0.0 if state.made == 2 else None)
    engine = ScriptedEngine(environment)
    with otlp_collector() as collector:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        environment.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        application = SpanExport("application", Sampling(1, parent_based=True))
        caplog.set_level(logging.INFO)
        async with serve_agent(host="127.0.0.1", port=0) as agent:
            lookup = RegistrySettings(
                ConsulSettings(url=agent.url), port=0, service="traced", log=LogSettings(access_sample=1.0)
            )
            worker = {"service": "traced", "access_log_sample": 1.0}
            async with (
                registry_running(lookup) as registry,
                echo_worker(agent.url, **worker) as first,
                echo_worker(agent.url, **worker),
                echo_worker(agent.url, **worker),
                AsyncClient(registry.url, routing="lookup", tracer_provider=application.provider) as client,
            ):
                await handed_out(first.http, registry.url, 3)
                caplog.clear()
                engine.start()
                tracer = application.provider.get_tracer("application")
                with tracer.start_as_current_span("caller"):
                    answer = await client.classify(chelsea_jpeg())
                assert answer.attempts == 3
                engine.go.set()
                metrics = await first.ask("GET", "/metrics", Accept="application/openmetrics-text")
        application.close()
    caller = collector.one("caller")
    check_client(collector, collector.one("call", below=caller), answer.worker)
    assert {span.trace_id for span in collector.spans if span.name != "batch"} == {caller.trace_id}
    logged = [record.__dict__["fields"] for record in caplog.records if "fields" in record.__dict__]
    assert {line["trace_id"] for line in logged if line.get("path") in ("/", "/next")} == {caller.trace_id}
    assert metrics.headers["Content-Type"].startswith("application/openmetrics-text")


def check_client(collector: Collector, call: SentSpan, answered: str) -> None:
    """What stands below the span of the call."""
    lookups = [span for span in collector.children(call) if span.name == "GET"]
    attempts = [span for span in collector.children(call) if span.name == "POST"]
    assert call.kind == "INTERNAL"
    assert call.attributes["p2p.attempts"] == 3
    for sent in lookups:
        (named,) = collector.children(sent)
        assert (named.service, named.kind, named.name) == ("p2p-lookup", "SERVER", "GET /next")
        assert named.attributes["http.response.status_code"] == 200
        assert ":" in named.attributes["p2p.worker"]
    assert [span.attributes.get("http.request.resend_count") for span in attempts] == [None, 1, 2]
    assert [span.attributes.get("p2p.hedge") for span in attempts] == [None, None, True]
    failed, *raced = attempts
    assert failed.failed
    assert failed.attributes["error.type"] == "500"
    assert collector.one("POST /", below=failed).failed
    (lost,) = [span for span in raced if span.attributes.get("p2p.cancelled")]
    (won,) = [span for span in raced if span.attributes.get("http.response.status_code") == 200]
    assert f"{won.attributes['server.address']}:{won.attributes['server.port']}" == answered
    assert won.attributes["url.full"] == f"http://{answered}/?top=5"
    assert collector.one("POST /", below=lost).attributes.get("p2p.cancelled")
    check_worker(collector, collector.one("POST /", below=won))


def check_worker(collector: Collector, served: SentSpan) -> None:
    """What stands below the span of a request at a worker."""
    stages = collector.children(served)
    assert (served.service, served.kind) == ("p2p-worker", "SERVER")
    assert served.attributes["http.route"] == "/"
    assert [stage.name for stage in stages] == STAGES
    assert all(served.began_ns <= stage.began_ns <= stage.ended_ns <= served.ended_ns for stage in stages)
    (batch_id,) = collector.one("predict", below=served).links
    (batch,) = [span for span in collector.spans if span.span_id == batch_id]
    assert (batch.name, batch.parent, list(batch.links)) == ("batch", "", [served.span_id])
    assert batch.attributes["p2p.batch.size"] == 1


async def test_a_collector_that_is_away_costs_no_request_and_no_time_at_the_end(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans wait in a bounded queue and are lost; the worker answers, and ends as soon as ever."""
    with otlp_collector() as collector:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)  # by the first request nobody listens there
    environment.setattr(exporting, "FLUSH_S", 1.0)
    environment.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    environment.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    caplog.set_level(logging.CRITICAL, logger="opentelemetry")
    async with serve_agent(host="127.0.0.1", port=0) as agent, echo_worker(agent.url) as worker:
        for _ in range(20):
            said = await worker.ask("POST", "/", chelsea_jpeg())
            assert said.status == 200


async def test_without_a_collector_nothing_of_opentelemetry_is_used(environment: pytest.MonkeyPatch) -> None:
    """A server asks nobody about traces, whatever its clients send."""
    environment.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    sent: dict[str, Any] = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    async with serve_agent(host="127.0.0.1", port=0) as agent, echo_worker(agent.url) as worker:
        assert (await worker.ask("POST", "/", chelsea_jpeg(), **sent)).status == 200
