"""When requests are traced, and what is said where they cannot be."""

from __future__ import annotations

import logging
import sys

import pytest

from p2pclient.cli import tracing as client_tracing
from registry.runtime.tracing.setup import collector, command_tracing, exporting_traces
from tests.support.tracing.otlp_collector import otlp_collector

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, None),
        (ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, None),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "True"}, None),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, None),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "otlp"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ],
)
def test_requests_are_traced_where_the_environment_names_a_collector(
    environment: dict[str, str], named: str | None
) -> None:
    """And not where it switches tracing off."""
    assert collector(environment) == named


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"OTEL_TRACES_SAMPLER": "mine"}, "OTEL_TRACES_SAMPLER=mine cannot be used: give one of always_on"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc cannot be used: give http/protobuf",
        ),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER=zipkin cannot be used: give otlp or none."),
    ],
)
async def test_what_cannot_be_used_is_a_warning_and_nothing_is_traced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, more: dict[str, str], sentence: str
) -> None:
    """No server stops answering because of its traces."""
    for name, value in (ENDPOINT | more).items():
        monkeypatch.setenv(name, value)
    async with exporting_traces("p2p-test") as tracing:
        assert tracing is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"Requests are not traced: {sentence}")


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """With the command that installs it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delitem(sys.modules, "registry.runtime.tracing.exporting", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    async with exporting_traces("p2p-test") as tracing:
        assert tracing is None
    said = caplog.records[0].getMessage()
    assert said.startswith(
        "Requests are not traced: OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry's SDK is not"
    )
    assert said.endswith("pip install 'p2p-serving[otel]'.")


def test_the_calls_of_a_command_are_sent_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the function that the client finds by an entry point; by OpenTelemetry's sampler."""
    complaints: list[str] = []
    monkeypatch.setattr("registry.runtime.tracing.exporting.FLUSH_S", 30.0)
    with otlp_collector() as collected:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        with command_tracing(complaints.append) as provider:
            assert provider is not None
            provider.get_tracer("test").start_span("call").end()
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
        with command_tracing(complaints.append) as provider:
            assert provider is not None
            provider.get_tracer("test").start_span("another").end()
    assert [(span.service, span.name) for span in collected.spans] == [("p2p-client", "call")]
    assert complaints == []


def test_a_command_says_why_its_calls_are_not_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without p2p-serving, and where a variable cannot be used; it does what it is for all the same."""
    complaints: list[str] = []
    monkeypatch.setattr(client_tracing, "entry_points", lambda group: [])
    with client_tracing.traced_calls(complaints.append) as provider:
        assert provider is None
    assert complaints == []
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with client_tracing.traced_calls(complaints.append) as provider:
        assert provider is None
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "mine")
    with command_tracing(complaints.append) as provider:
        assert provider is None
    without_serving, unknown = complaints
    assert without_serving.endswith("which needs p2p-serving: pip install 'p2p-serving[otel]'.")
    assert unknown.startswith("calls are not traced: OTEL_TRACES_SAMPLER=mine cannot be used")
