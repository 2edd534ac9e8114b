"""A traced lookup gives the same span on the fast path and through aiohttp, and an exemplar of its counter."""

from __future__ import annotations

import logging
from typing import Any

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from registry.runtime.logs.access_log import AccessLog
from registry.runtime.logs.formatters import JsonFormatter, TextFormatter
from tests.support.lookups.lookup_app import served
from tests.support.raw_http import exchange
from tests.support.tracing.recorded_spans import RecordedSpans

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACED = f"traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\ntracestate: vendor=1\r\n"
UNRECORDED = TRACED.replace("-01\r\n", "-00\r\n")


def get(path: str, lines: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost:12480\r\n{lines}\r\n".encode()


async def spans_of(request: bytes, *, fast: bool, part: float = 0.0) -> list[dict[str, Any]]:
    """What is recorded of one request, without times and ids of spans."""
    recorded = RecordedSpans(part)
    async with served(fast=fast, tracing=recorded.tracing) as (port, path):
        await exchange(port, request)
        assert path.answered == int(fast and b"count=10" not in request and b"/services" not in request)
    return [
        {
            "name": span.name,
            "kind": span.kind,
            "trace": f"{span.context.trace_id:032x}" if span.parent else "",
            "parent": f"{span.parent.span_id:016x}" if span.parent else "",
            "state": dict(span.context.trace_state),
            "attributes": dict(span.attributes or {}),
        }
        for span in recorded.ended
    ]


@pytest.mark.parametrize(
    "path", ["/next", "/next/classify", "/", "/next?scheme=1", "/next?count=1", "/next?count=10", "/services"]
)
async def test_fast_path_and_aiohttp_give_the_same_span(path: str) -> None:
    """Below the client's, with the worker that the lookup names."""
    fast, slow = [await spans_of(get(path, TRACED), fast=each) for each in (True, False)]
    assert fast == slow
    (span,) = fast
    assert (span["trace"], span["parent"], span["state"]) == (TRACE, "b7ad6b7169203331", {"vendor": "1"})
    assert span["attributes"]["http.response.status_code"] == 200
    assert span["attributes"]["url.path"] == path.partition("?")[0]
    assert ("p2p.worker" in span["attributes"]) == (path != "/services")


@pytest.mark.parametrize("fast", [True, False])
async def test_a_trace_that_opentelemetry_does_not_accept_is_no_parent(fast: bool) -> None:
    """Version 00 has four fields: a fifth one makes it invalid, and the lookup begins a trace of its own."""
    recorded = RecordedSpans(1.0)
    async with served(fast=fast, tracing=recorded.tracing) as (port, _):
        await exchange(port, get("/next", TRACED.replace("-01\r\n", "-01-more\r\n")))
    (span,) = recorded.ended
    assert span.parent is None
    assert span.context.trace_id not in (0, int(TRACE, 16))


@pytest.mark.parametrize("fast", [True, False])
async def test_only_what_is_wanted_is_traced(fast: bool) -> None:
    """A client that does not record its trace gets no span, nor does a health check without a trace."""
    assert await spans_of(get("/next", UNRECORDED), fast=fast, part=1.0) == []
    (span,) = await spans_of(get("/next"), fast=fast, part=1.0)
    assert span["parent"] == ""
    assert span["name"] == "GET /next"


async def test_health_checks_begin_no_trace() -> None:
    """They come every few seconds, and would be most of what a collector gets."""
    recorded = RecordedSpans(1.0)
    async with served(fast=False, tracing=recorded.tracing) as (port, _):
        await exchange(port, get("/healthz"), get("/readyz"), get("/metrics"))
    assert recorded.names == []


async def test_a_refused_lookup_fails_its_span_only_by_our_fault() -> None:
    """503 is the server's fault, 404 the client's."""
    recorded = RecordedSpans(1.0)
    async with served(fast=True, tracing=recorded.tracing) as (port, _):
        await exchange(port, get("/next/empty"), get("/next/nobody"))
    empty, unknown = recorded.ended
    assert (empty.status.is_ok, (empty.attributes or {})["error.type"]) == (False, "503")
    assert (unknown.status.is_ok, "error.type" in (unknown.attributes or {})) == (True, False)


async def test_lines_in_the_log_name_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    """On both sides, in text and in JSON."""
    caplog.set_level(logging.INFO, logger="registry.runtime.logs.access_log")
    recorded = RecordedSpans(1.0)
    async with served(fast=True, tracing=recorded.tracing) as (port, path):
        path.access_log = AccessLog()
        await exchange(port, get("/next", TRACED))
    record = next(each for each in caplog.records if each.name == "registry.runtime.logs.access_log")
    assert f"trace_id={TRACE}" in TextFormatter().format(record)
    assert f'"trace_id": "{TRACE}"' in JsonFormatter().format(record)


async def test_traced_lookups_are_exemplars_of_openmetrics() -> None:
    """Of the counters on both sides; Prometheus's own format has no room for them."""
    recorded = RecordedSpans()
    asks = {"Accept": "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"}
    async with served(fast=True, tracing=recorded.tracing) as (port, _), aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}/metrics"
        await exchange(port, get("/next", TRACED))
        await exchange(port, get("/next?count=10", TRACED))
        async with http.get(url, headers=asks) as answer:
            body = await answer.text()
            assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        async with http.get(url) as answer:
            assert "# {" not in await answer.text()
    samples = {sample.name: sample for family in text_string_to_metric_families(body) for sample in family.samples}
    for name in ("p2p_registry_fast_lookups_total", "p2p_registry_requests_total"):
        assert samples[name].exemplar.labels == {"trace_id": TRACE}
