"""Decides when a client is made whether its calls are traced. Imports OpenTelemetry only if the application has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from p2pclient.tracing.call_spans import CallTracing


def call_tracing(given: TracerProvider | None) -> CallTracing | None:
    """What traces the calls of a client, by this provider or by the application's; None: nothing is traced.

    An application that has set up a provider has imported OpenTelemetry, which takes as long as the rest of this
    package: for all others it is not imported.
    """
    provider = given or _of_application()
    if provider is None:
        return None
    from p2pclient.tracing.call_spans import CallTracing

    return CallTracing(provider)


def _of_application() -> TracerProvider | None:
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider) else provider
