"""Traces the calls of a command where OpenTelemetry's variables name a collector, with what p2p-serving brings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

GROUP = "p2pclient.tracing"
"""The entry points' group of the function that gives a provider, as a context that sends its spans at the end."""

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

Tracing = Callable[[Callable[[str], None]], AbstractContextManager["TracerProvider | None"]]


@contextmanager
def traced_calls(complain: Callable[[str], None]) -> Iterator[TracerProvider | None]:
    """The provider for the command's client; None: nothing is traced, and `complain` is told why if it is asked for."""
    endpoint = next((name for name in ENDPOINTS if os.environ.get(name, "").strip()), None)
    if endpoint is None:
        yield None
        return
    entry = next(iter(entry_points(group=GROUP)), None)
    if entry is None:
        complain(f"calls are not traced: {endpoint} is set, which needs p2p-serving: pip install 'p2p-serving[otel]'.")
        yield None
        return
    tracing: Tracing = entry.load()
    with tracing(complain) as provider:
        yield provider
