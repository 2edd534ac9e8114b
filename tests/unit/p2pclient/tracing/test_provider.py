"""Whether a client traces its calls, which is decided when it is made."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry import trace

from p2pclient.tracing.provider import call_tracing
from tests.support.tracing.recorded_spans import RecordedSpans


def test_nothing_is_traced_without_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the application has set none up, or one that records nothing."""
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    assert call_tracing(None) is None
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    assert call_tracing(None) is None


def test_the_provider_is_the_one_given_or_the_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenTelemetry's own instrumentations have it."""
    provider = RecordedSpans().provider
    assert call_tracing(provider) is not None
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    assert call_tracing(None) is not None


def test_opentelemetry_is_imported_only_if_the_application_has_imported_it() -> None:
    """It takes about as long as the rest of the client."""
    program = (
        "import sys; from p2pclient import AsyncClient; AsyncClient(); "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
