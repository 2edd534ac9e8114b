"""Decides at a server's start whether its requests are traced: where the environment names a collector.

What is wrong with tracing is a line in the log: no server stops answering because of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from registry.runtime.errors import SettingsError
from registry.runtime.tracing.sampling import sampling_of

if TYPE_CHECKING:
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
        check_protocol(os.environ)
        try:
            from registry.runtime.tracing.exporting import SpanExport
            from registry.runtime.tracing.server_spans import Tracing
        except ImportError as error:
            raise SettingsError(
                f"{endpoint} is set, but OpenTelemetry's SDK is not installed ({error}): "
                "pip install 'p2p-serving[otel]'."
            ) from None
        export = SpanExport(name, sampling)
    except (SettingsError, ValueError) as error:
        logger.warning("Requests are not traced: %s", error)
        yield None
        return
    logger.info("Requests are traced (%g of those without a trace); spans go to %s.", sampling.part, endpoint)
    try:
        yield Tracing(export.provider, sampling)
    finally:
        await asyncio.to_thread(export.close)


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
