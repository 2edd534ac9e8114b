"""A traced request gives the same spans on the fast path and through aiohttp: its own, and one for each stage."""

from __future__ import annotations

import io
import logging
from typing import Any

import aiohttp
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from PIL import Image
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from registry.runtime.logs.formatters import JsonFormatter, TextFormatter
from tests.support.raw_http import exchange
from tests.support.tracing.recorded_spans import RecordedSpans
from tests.support.waiting import until
from tests.support.workers.fast_and_slow_worker import fast_and_slow_worker

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACED = f"traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\ntracestate: vendor=1\r\n"


def image() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (30, 10)).save(file, "PNG")
    return file.getvalue()


def form(images: int) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="data"; filename="a"\r\n\r\n'
    return b"".join(head + image() + b"\r\n" for _ in range(images)) + b"--b--\r\n"


def post(body: bytes, lines: str = "", *, kind: str = "image/png", path: str = "/") -> bytes:
    length = f"Content-Length: {len(body)}\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: worker:7001\r\nContent-Type: {kind}\r\n{length}{lines}\r\n"
    return head.encode() + body


def told(spans: list[ReadableSpan]) -> list[Any]:
    """What the spans say, apart from times and ids: names, kinds, attributes, parents and links by name."""
    names = {span.context.span_id: span.name for span in spans}
    return sorted(
        (
            span.name,
            str(span.kind),
            sorted((span.attributes or {}).items()),
            names.get(span.parent.span_id, "the client's") if span.parent else "",
            sorted(names[link.context.span_id] for link in span.links),
        )
        for span in spans
    )


async def spans_of(request: bytes, *, fast: bool, spans: int) -> list[ReadableSpan]:
    """The spans of one request."""
    recorded = RecordedSpans(0.0)
    async with fast_and_slow_worker(tracing=recorded.tracing) as both:
        await exchange(both.fast_port if fast else both.slow_port, request)
        assert both.taken == int(fast)
        await until(lambda: len(recorded.ended) == spans)
    return list(recorded.ended)


async def test_fast_path_and_aiohttp_give_the_same_spans() -> None:
    """The request below the client's span, its stages below it, and the batch, which is linked both ways."""
    fast, slow = [await spans_of(post(image(), TRACED), fast=each, spans=7) for each in (True, False)]
    assert told(fast) == told(slow)
    by_name = {span.name: span for span in fast}
    served = by_name["POST /"]
    assert f"{served.context.trace_id:032x}" == TRACE
    assert dict(served.context.trace_state) == {"vendor": "1"}
    assert dict(served.attributes or {}) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "url.path": "/",
        "http.route": "/",
        "server.address": "worker",
        "server.port": 7001,
        "client.address": "127.0.0.1",
        "http.response.status_code": 200,
    }
    stages = [by_name[name] for name in ("receive", "decode", "queue", "predict", "encode")]
    assert all(stage.parent == served.context for stage in stages)
    assert [stage.start_time for stage in stages] == sorted(stage.start_time or 0 for stage in stages)
    assert [link.context.span_id for link in by_name["batch"].links] == [served.context.span_id]
    assert [link.context.span_id for link in by_name["predict"].links] == [by_name["batch"].context.span_id]
    assert dict(by_name["batch"].attributes or {}) == {"p2p.model": "classify", "p2p.batch.size": 1}


async def test_a_form_of_several_images_is_one_request_with_its_stages() -> None:
    """Its images may run in one batch or in several: each links the request once, and the request links each."""
    request = post(form(3), TRACED, kind="multipart/form-data; boundary=b")
    recorded = RecordedSpans(0.0)
    async with fast_and_slow_worker(tracing=recorded.tracing) as both:
        await exchange(both.fast_port, request)
        await until(lambda: "POST /" in recorded.names)
    batches = [span for span in recorded.ended if span.name == "batch"]
    served = next(span for span in recorded.ended if span.name == "POST /")
    predict = next(span for span in recorded.ended if span.name == "predict")
    assert sum((span.attributes or {})["p2p.batch.size"] for span in batches) == 3
    assert all([link.context.span_id for link in span.links] == [served.context.span_id] for span in batches)
    assert {link.context.span_id for link in predict.links} == {span.context.span_id for span in batches}


@pytest.mark.parametrize("fast", [True, False])
async def test_a_refused_request_has_its_span(fast: bool) -> None:
    """With the status, which is the client's fault."""
    (receive, *_, served) = await spans_of(post(b"no image", TRACED), fast=fast, spans=3)
    assert receive.name in ("receive", "decode")
    assert (served.attributes or {})["http.response.status_code"] == 415
    assert served.status.is_ok


@pytest.mark.parametrize("fast", [True, False])
async def test_only_what_is_wanted_is_traced(fast: bool) -> None:
    """A client that does not record its trace, and health checks without a trace, give no span."""
    recorded = RecordedSpans(1.0)
    async with fast_and_slow_worker(tracing=recorded.tracing) as both:
        port = both.fast_port if fast else both.slow_port
        await exchange(port, post(image(), TRACED.replace("-01\r\n", "-00\r\n")))
        await exchange(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert recorded.names == []


async def test_paths_have_names_for_their_variables() -> None:
    """So that the spans of all models can be told together."""
    recorded = RecordedSpans(1.0)
    async with fast_and_slow_worker(tracing=recorded.tracing) as both:
        await exchange(both.slow_port, b"GET /v1/models/classify HTTP/1.1\r\nHost: x\r\n\r\n")
        await exchange(both.slow_port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    known, unknown = recorded.ended
    assert known.name.startswith("GET /v1/models/{")
    assert (unknown.name, (unknown.attributes or {})["url.path"]) == ("GET", "/nowhere")


@pytest.mark.parametrize("fast", [True, False])
async def test_lines_in_the_log_name_the_trace(caplog: pytest.LogCaptureFixture, fast: bool) -> None:
    """Those that are written while a traced request is answered, in text and in JSON."""
    recorded = RecordedSpans(0.0)
    lines: list[tuple[str, str]] = []

    class Formatted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((TextFormatter().format(record), JsonFormatter().format(record)))

    handler = Formatted()
    logger = logging.getLogger("worker.web.body_reader")
    async with fast_and_slow_worker(tracing=recorded.tracing) as both:
        handle = both.store.current.predict

        async def telling(*arguments: Any, **options: Any) -> Any:
            logger.warning("It is told.")
            return await handle(*arguments, **options)

        both.store.current.predict = telling  # type: ignore[method-assign]
        logger.addHandler(handler)
        try:
            await exchange(both.fast_port if fast else both.slow_port, post(image(), TRACED))
        finally:
            logger.removeHandler(handler)
    ((text, json_line),) = lines
    assert text.endswith(f"It is told. [trace {TRACE}]")
    assert f'"trace_id": "{TRACE}", "span_id": ' in json_line


async def test_traced_requests_are_exemplars_of_openmetrics() -> None:
    """The last of each bucket of the time that requests take."""
    recorded = RecordedSpans(0.0)
    async with fast_and_slow_worker(tracing=recorded.tracing) as both, aiohttp.ClientSession() as http:
        await exchange(both.fast_port, post(image(), TRACED))
        await exchange(both.fast_port, post(image()))
        url = f"http://127.0.0.1:{both.slow_port}/metrics"
        async with http.get(url, headers={"Accept": "application/openmetrics-text"}) as answer:
            body = await answer.text()
        async with http.get(url) as answer:
            assert "# {" not in await answer.text()
    exemplars = [
        sample.exemplar
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        if sample.exemplar and sample.name == "p2p_worker_request_duration_seconds_bucket"
    ]
    assert [exemplar.labels for exemplar in exemplars] == [{"trace_id": TRACE}]
