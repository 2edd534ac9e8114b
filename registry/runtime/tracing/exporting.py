"""Sends a server's spans by OTLP over HTTP, as OpenTelemetry's own variables say.

Spans wait in a bounded queue that a thread empties: a collector that is slow or gone costs spans, never a request.
"""

from __future__ import annotations

import os
import random
import threading
import uuid
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from registry.runtime.tracing.sampling import Sampling

FLUSH_S = 1.0
"""How long the last spans may take to be sent when the process ends; a drain takes 2 s."""

GIVE_UP_S = 0.25
"""How long the thread may take to end after it was told to give up."""


class SpanExport:
    """The provider whose spans are sent, and the end of the sending.

    It records every span that is begun, where `sampling` has decided what to begin; None: as OTEL_TRACES_SAMPLER says.
    """

    def __init__(self, name: str, sampling: Sampling | None) -> None:
        self._exporter = _Exporter()
        self.provider = TracerProvider(
            sampler=None if sampling is None else ALWAYS_ON,
            resource=_HashedOnce(Resource.create(_about(name, os.environ))),
            id_generator=None if sampling is None else _SampledIds(sampling.ids_below),
            shutdown_on_exit=False,
        )
        self.provider.add_span_processor(BatchSpanProcessor(self._exporter))

    def close(self) -> None:
        """Send what waits, within `FLUSH_S`; what could not be sent by then is lost."""
        ending = threading.Thread(target=self.provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(FLUSH_S)
        if ending.is_alive():
            self._exporter.shutdown()
            ending.join(GIVE_UP_S)


class _Exporter(OTLPSpanExporter):
    """OpenTelemetry's exporter, which warns of being closed a second time, as its provider does after `close`."""

    _closed = False

    def shutdown(self) -> None:
        """Give up what is being sent, and send nothing more."""
        if not self._closed:
            self._closed = True
            super().shutdown()  # type: ignore[no-untyped-call]  # it takes and gives nothing


class _HashedOnce(Resource):
    """What is said of the process. The exporter asks for the hash at each span, and the SDK's writes JSON for it."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


class _SampledIds(IdGenerator):
    """Random ids; those of traces are below a bound, by which samplers of other processes decide alike."""

    def __init__(self, ids_below: int) -> None:
        self._ids_below = max(1, ids_below)

    def generate_span_id(self) -> int:
        return random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return (random.getrandbits(64) << 64 | random.randrange(self._ids_below)) or 1


def _about(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The attributes of the process: `service.name` is `name` unless the environment gives another one."""
    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {"service.instance.id": uuid.uuid4().hex} | ({} if named else {"service.name": name})
