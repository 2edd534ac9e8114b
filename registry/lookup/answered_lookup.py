"""What is told of a lookup that the fast path has answered: a line of the access log, and a span.

Both say the same as those of a lookup that aiohttp has read (registry/web/request_ids.py and traced_requests.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.runtime.logs.access_log import AccessLog
from registry.runtime.tracing.trace_context import TraceContext

if TYPE_CHECKING:
    from registry.runtime.tracing.server_spans import Tracing


@dataclass(frozen=True, slots=True)
class AnsweredLookup:
    """A plain request without the lines of its id and its trace, and its answer, begun at `since_ns` since 1970."""

    request: bytes
    response: bytes
    request_id: str
    worker: str | None
    client: str | None
    since_ns: int

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self.request.split(b" ", 2)[1].partition(b"?")[0].decode()

    @property
    def host(self) -> str:
        """The header Host."""
        lines = self.request.split(b"\r\n")[1:]
        return next((line[6:].decode("latin-1") for line in lines if line[:6].lower() == b"host: "), "")


def log_lookup(log: AccessLog, lookup: AnsweredLookup, *, took_s: float, trace_id: str | None) -> None:
    """Write the line of a lookup that took so long."""
    log.write(
        method="GET",
        path=lookup.path,
        status=200,
        size=len(lookup.response) - lookup.response.index(b"\r\n\r\n") - 4,
        took_s=took_s,
        request_id=lookup.request_id,
        worker=lookup.worker,
        client=lookup.client,
        trace_id=trace_id,
    )


def trace_lookup(tracing: Tracing, lookup: AnsweredLookup, parent: TraceContext | None, *, scheme: str) -> str:
    """Make the span of a lookup that has just been answered, and name its trace."""
    from registry.runtime.tracing.server_spans import ServedRequest

    path = lookup.path
    request = ServedRequest("GET", path, _route(path), scheme, lookup.host, lookup.client or "", lookup.request_id)
    return tracing.note_answered(request, parent, since_ns=lookup.since_ns, status=200, worker=lookup.worker)


def _route(path: str) -> str:
    """The path with a name for its variable, as aiohttp's side has it."""
    return "/next/{service}" if path.startswith("/next/") else path
