"""Decides which headers the proxy forwards and which it adds. Pure.

Headers that concern one connection are not forwarded (RFC 9110, 7.6.1). The proxy adds what the worker could not know
otherwise: the client's address, the host that it asked for, and the scheme. `Host` itself becomes the worker's
address, which is nginx's default.
"""

from __future__ import annotations

from collections.abc import Iterable

from multidict import CIMultiDict

PSEUDONYM = "p2p-proxy"
"""The name of this proxy in `Via`."""

Fields = Iterable[tuple[bytes, bytes]]
"""Headers as they were received, in order."""

_ONE_CONNECTION = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})


def request_headers(
    received: Fields, *, version: str, peer: str, host: str, scheme: str, expects: bool
) -> CIMultiDict[str]:
    """The headers of the request to a worker.

    `version` is the HTTP version of the client's request ("1.1"), `peer` the client's IP address ("" if unknown),
    `host` the host that it asked for. `expects`: it waits for `100 Continue` before it sends its body.
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
    """All headers except those of the one connection, in order, repeated ones included."""
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
    """The value as text; one that is not UTF-8 is read as Latin-1, as HTTP/1.1 once specified. aiohttp writes UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
