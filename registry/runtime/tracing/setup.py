"""Decides when a process starts whether it traces: where the environment names a collector.

What is wrong with tracing is told in a line: no server stops answering, and no command fails, because of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from registry.runtime.errors import SettingsError
from registry.runtime.tracing.sampling import sampling_of

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from registry.runtime.tracing.exporting import SpanExport
    from registry.runtime.tracing.server_spans import Tracing

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
OUR_PROTOCOL = "http/protobuf"


@asynccontextmanager
async def exporting_traces(name: str) -> AsyncIterator[Tracing | None]:
    """What traces the requests of this server, called `name`, while the context is open; None: nothing is traced."""
    endpoint = collector(os.environ)
    if endpoint is None:
        yield None
        return
    try:
        sampling = sampling_of(os.environ)
        export = _span_export(endpoint)(name, sampling)
    except (SettingsError, ValueError) as error:
        logger.warning("Requests are not traced: %s", error)
        yield None
        return
    from registry.runtime.tracing.server_spans import Tracing

    logger.info("Requests are traced (%g of those without a trace); spans go to %s.", sampling.part, endpoint)
    try:
        yield Tracing(export.provider, sampling)
    finally:
        await asyncio.to_thread(export.close)


@contextmanager
def command_tracing(complain: Callable[[str], None]) -> Iterator[TracerProvider | None]:
    """The provider for the calls of a command of the client; None: nothing is traced, and `complain` is told why.

    p2pclient finds this function by an entry point. The sampler is the SDK's: a call takes much longer than it.
    """
    endpoint = collector(os.environ)
    if endpoint is None:
        yield None
        return
    try:
        sampling_of(os.environ)
        export = _span_export(endpoint)("p2p-client", None)
    except (SettingsError, ValueError) as error:
        complain(f"calls are not traced: {error}")
        yield None
        return
    try:
        yield export.provider
    finally:
        export.close()


def _span_export(endpoint: str) -> type[SpanExport]:
    """What sends spans. Raises SettingsError where the environment, of which `endpoint` is a variable, forbids it."""
    check_protocol(os.environ)
    try:
        from registry.runtime.tracing.exporting import SpanExport
    except ImportError as error:
        raise SettingsError(
            f"{endpoint} is set, but OpenTelemetry's SDK is not installed ({error}): pip install 'p2p-serving[otel]'."
        ) from None
    return SpanExport


def collector(environment: Mapping[str, str]) -> str | None:
    """The variable that names where spans are sent; None where nothing is to be traced."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return None
    return next((name for name in ENDPOINTS if environment.get(name, "").strip()), None)


def check_protocol(environment: Mapping[str, str]) -> None:
    """Raise SettingsError where spans are to be sent otherwise than they can be."""
    wanted = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "otlp"
    if wanted != "otlp":
        raise SettingsError(f"OTEL_TRACES_EXPORTER={wanted[:40]} cannot be used: give otlp or none.")
    for name in PROTOCOLS:
        protocol = environment.get(name, "").strip().lower()
        if protocol and protocol != OUR_PROTOCOL:
            raise SettingsError(f"{name}={protocol[:40]} cannot be used: give {OUR_PROTOCOL}.")
        if protocol:
            return
