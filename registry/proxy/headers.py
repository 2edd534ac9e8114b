"""Which headers a proxy sends on, and which it adds: pure.

What concerns one connection only stays on it (RFC 9110, 7.6.1); what the worker could not know otherwise is
added: who asked, for which host, by which scheme. `Host` itself becomes the worker's address, as nginx does it
unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable

from multidict import CIMultiDict

PSEUDONYM = "p2p-proxy"
"""How this proxy calls itself in `Via`."""

Fields = Iterable[tuple[bytes, bytes]]
"""Headers as they were received, name by name."""

_ONE_CONNECTION = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})


def request_headers(
    received: Fields, *, version: str, peer: str, host: str, scheme: str, expects: bool
) -> CIMultiDict[str]:
    """The headers of the request to a worker.

    `version` is the HTTP version of the client's request ("1.1"), `peer` its IP address ("" if unknown), `host`
    what it asked for. `expects` tells whether it waits for `100 Continue` before it sends a body.
    """
    headers = _end_to_end(received)
    headers.popall("Host", None)
    if not expects:
        headers.popall("Expect", None)
    through = [*headers.popall("X-Forwarded-For", ()), *([peer] if peer else [])]
    if through:
        headers["X-Forwarded-For"] = ", ".join(through)
    headers["X-Forwarded-Host"] = host
    headers["X-Forwarded-Proto"] = scheme
    headers.add("Via", f"{version} {PSEUDONYM}")
    return headers


def response_headers(received: Fields, *, version: str) -> CIMultiDict[str]:
    """The headers of the answer to a client; `version` is the HTTP version of the worker's answer."""
    headers = _end_to_end(received)
    headers.add("Via", f"{version} {PSEUDONYM}")
    return headers


def _end_to_end(received: Fields) -> CIMultiDict[str]:
    """All headers but those of the one connection, repeated ones kept, in order."""
    fields = [(name.decode("latin-1"), _text(value)) for name, value in received]
    dropped = {*_ONE_CONNECTION, *_named_by_connection(fields)}
    if any(name.lower() == "transfer-encoding" for name, _ in fields):
        dropped.add("content-length")  # RFC 9112, 6.3: it does not count then
    return CIMultiDict(
        (name, value)
        for name, value in fields
        if not (lowered := name.lower()).startswith("proxy-") and lowered not in dropped
    )


def _named_by_connection(fields: Iterable[tuple[str, str]]) -> set[str]:
    lists = (value for name, value in fields if name.lower() == "connection")
    return {item.strip().lower() for value in lists for item in value.split(",")}


def _text(value: bytes) -> str:
    """A value that is not UTF-8 as what HTTP/1.1 once took it for, Latin-1: aiohttp writes UTF-8 only."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
