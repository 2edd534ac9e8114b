"""Metrics as Prometheus reads them: in its own text format, or in OpenMetrics, which alone has room for exemplars."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as in_openmetrics

PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def wants_openmetrics(accept: str) -> bool:
    """Whether a header Accept asks for OpenMetrics."""
    return "application/openmetrics-text" in accept


def content_type(*, openmetrics: bool) -> str:
    """The header Content-Type of either format."""
    return OPENMETRICS_TYPE if openmetrics else PROMETHEUS_TYPE


def exposition(registry: CollectorRegistry, *, openmetrics: bool) -> bytes:
    """All metrics of the registry in either format."""
    if openmetrics:
        text: bytes = in_openmetrics(registry)  # type: ignore[no-untyped-call]  # its argument has no type
        return text
    return generate_latest(registry)
