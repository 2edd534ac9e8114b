"""Spans reach a collector with the attributes of their process, and a collector that hangs holds nobody up."""

from __future__ import annotations

import socket
import time

import pytest

from registry.runtime.tracing import exporting
from registry.runtime.tracing.exporting import FLUSH_S, GIVE_UP_S, SpanExport
from registry.runtime.tracing.sampling import Sampling
from registry.runtime.tracing.server_spans import ServedRequest, Tracing, note_answer
from registry.runtime.tracing.trace_context import TraceContext
from tests.support.tracing.otlp_collector import otlp_collector


def answered_once(export: SpanExport, parent: TraceContext | None = None) -> None:
    """One request, as a server traces it."""
    request = ServedRequest("GET", "/next", "/next", host="lookup:12480")
    with Tracing(export.provider, Sampling(1, parent_based=True)).serving(request, parent) as span:
        note_answer(span, 200)


@pytest.mark.parametrize(("named", "service"), [("", "p2p-test"), ("mine", "mine")])
def test_spans_are_sent_when_the_process_ends(monkeypatch: pytest.MonkeyPatch, named: str, service: str) -> None:
    """Under the name of the process, or that which the environment gives."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", named)
    monkeypatch.setattr(exporting, "FLUSH_S", 30.0)
    with otlp_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        export = SpanExport("p2p-test", Sampling(1, parent_based=True))
        answered_once(export, TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1"))
        export.close()
    (span,) = collector.spans
    assert (span.service, span.name, span.kind, span.failed) == (service, "GET /next", "SERVER", False)
    assert (span.trace_id, span.parent) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert span.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/next",
        "http.route": "/next",
        "server.address": "lookup",
        "server.port": 12480,
        "http.response.status_code": 200,
    }


def test_ids_of_traces_are_those_that_other_samplers_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is chosen by the lower half of the id, here and in every other process."""
    monkeypatch.setattr(exporting, "FLUSH_S", 30.0)
    with otlp_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        sampling = Sampling(0.01, parent_based=True)
        export = SpanExport("p2p-test", sampling)
        for _ in range(20):
            answered_once(export)
        export.close()
    assert len({span.trace_id for span in collector.spans}) == 20
    assert all(int(span.trace_id[16:], 16) < sampling.ids_below for span in collector.spans)


def test_a_collector_that_never_answers_holds_the_end_up_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have a minute by its own time limit."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        export = SpanExport("p2p-test", Sampling(1, parent_based=True))
        answered_once(export)
        since_s = time.monotonic()
        export.close()
        assert time.monotonic() - since_s < 10 * (FLUSH_S + GIVE_UP_S)
