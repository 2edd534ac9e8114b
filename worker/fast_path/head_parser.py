"""The head of a plain request, in bytes -> method, path, query and headers; None for a head that aiohttp must parse.

A head is plain if it can be understood in one way only: HTTP/1.1, a simple target, header lines of printable ASCII,
and each header once and known to change nothing about how the request is read beside what `Head` holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from multidict import CIMultiDict, CIMultiDictProxy

from registry.runtime.request_id import HEADER as REQUEST_ID
from registry.runtime.request_id import has_id_mark, without_request_id
from registry.runtime.tracing.trace_context import has_trace_mark, without_trace_context

HEAD_BYTES_AT_MOST = 4096

_HEAD = re.compile(
    r"(GET|HEAD|POST) (/[A-Za-z0-9/._-]*)(?:\?([a-z]+=[A-Za-z0-9._-]+(?:&[a-z]+=[A-Za-z0-9._-]+)*))? HTTP/1\.1"
    r"((?:\r\n[A-Za-z0-9-]+: [!-~](?:[ -~]*[!-~])?)+)"
)
_LENGTH = re.compile(r"[0-9]{1,10}")

# Headers that change nothing about how a request is read, and those that `Head` holds.
_PLAIN_HEADERS = frozenset({
    "accept", "accept-charset", "accept-encoding", "accept-language", "authorization", "baggage", "cache-control",
    "connection", "content-length", "content-type", "cookie", "forwarded", "host", "origin", "p2p-boot",
    "p2p-shadow", "p2p-timeout-ms", "pragma", "priority", "referer", "traceparent", "tracestate", "user-agent", "via",
    "x-correlation-id", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a plain request: `size` bytes, then a body of `content_length` bytes; None means no body."""

    size: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content_length: int | None


def read_head(data: bytes) -> Head | None:
    """The plain head at the start of `data`; None if it is not plain or not complete."""
    end = data.find(b"\r\n\r\n", 0, HEAD_BYTES_AT_MOST)
    if end <= 0:
        return None
    lines = data[:end]
    if not (has_id_mark(lines) or has_trace_mark(lines)):
        return _read(lines)
    lines, request_id = without_request_id(data[: end + 2])
    lines, trace = without_trace_context(lines)
    head = _read(lines[:-2])
    if head is None or not (request_id or trace):
        return head
    taken_out = {REQUEST_ID: request_id} if request_id else {}
    return _with_headers(head, taken_out | ({} if trace is None else trace.headers()), size=end + 4)


def _with_headers(head: Head, taken_out: Mapping[str, str], *, size: int) -> Head | None:
    """The head with the headers that were taken out before it was looked up; None where one stands there twice."""
    if any(name in head.headers for name in taken_out):
        return None
    headers = CIMultiDict(head.headers)
    headers.update(taken_out)
    return Head(size, head.method, head.path, head.query, CIMultiDictProxy(headers), head.content_length)


@lru_cache(maxsize=256)
def _read(lines_of_head: bytes) -> Head | None:
    """Cached, because a client that keeps its connection sends the same head many times, but for its id and trace."""
    match = _HEAD.fullmatch(lines_of_head.decode("latin-1"))
    if match is None:
        return None
    method, path, query_text, lines = match.groups()
    headers: CIMultiDict[str] = CIMultiDict(line.partition(": ")[::2] for line in lines[2:].split("\r\n"))
    names = {name.lower() for name in headers}
    if not (names <= _PLAIN_HEADERS and len(names) == len(headers) and "host" in names):
        return None
    if headers.get("Connection", "keep-alive").lower() != "keep-alive":
        return None
    length = headers.get("Content-Length")
    if length is not None and not _LENGTH.fullmatch(length):
        return None
    query = _query(query_text) if query_text else {}
    if query is None:
        return None
    size = len(lines_of_head) + len(b"\r\n\r\n")
    return Head(size, method, path, query, CIMultiDictProxy(headers), None if length is None else int(length))


def _query(text: str) -> Mapping[str, str] | None:
    """The parameters; None where a name occurs twice."""
    pairs = [pair.split("=") for pair in text.split("&")]
    query = dict(pairs)
    return query if len(query) == len(pairs) else None
