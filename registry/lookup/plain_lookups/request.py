"""Reads a whole plain lookup from its bytes: which service, which instances, how many, and in what form. Pure.

Plain is a list of what is allowed: `GET /`, `/next` and `/next/{service}` with `?scheme=1`, `?count=` of one digit and
`?version=`, each once at most, and headers that are known to change nothing. None is the answer to everything else,
which aiohttp reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from registry.discovery.rotations.selector import ANY, Selector
from registry.lookup.host_match import reachable_hosts
from registry.lookup.rendering import Form

REQUEST_AT_MOST_BYTES = 2048

_PLAIN = re.compile(
    rb"GET (/|/next(?:/[A-Za-z0-9._-]{1,128})?(?:\?[a-z]+=[A-Za-z0-9._-]{1,64}(?:&[a-z]+=[A-Za-z0-9._-]{1,64}){0,2})?)"
    rb" HTTP/1\.1\r\n"
    rb"((?:[A-Za-z-]+: [\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\r\n)*)\r\n"
)
_VALUES = {"scheme": re.compile("1"), "count": re.compile("[1-9]"), "version": re.compile("[A-Za-z0-9._-]+")}
_HARMLESS = frozenset(
    {
        *(b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"pragma"),
        b"authorization",
    }
)


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """What a plain request asks for; `count` is None where one worker is asked for without a number."""

    service: str
    selector: Selector
    form: Form
    count: int | None = None


def parse(text: bytes, local_address: str, default: str) -> tuple[PlainRequest, Mapping[str, str]] | None:
    """What a complete, plain request asks for, and its headers; None for any other text.

    `local_address` is the address at which it arrived, `default` the service of a request that names none.
    """
    match = _PLAIN.fullmatch(text) if len(text) <= REQUEST_AT_MOST_BYTES else None
    headers = None if match is None else _headers(match[2])
    if match is None or headers is None:
        return None
    accepts = headers.get("Accept", "")
    path, _, query = match[1].decode().partition("?")
    if path == "/" and "text/html" in accepts:  # a browser, which may get the page
        return None
    form = Form.OBJECT if "application/json" in accepts else Form.PORT if path == "/" else Form.ADDRESS
    if path == "/":
        reachable = Selector(hosts=reachable_hosts(headers["Host"], local_address))
        return PlainRequest(default, reachable, form), headers
    parameters = _parameters(query)
    if parameters is None:
        return None
    if form is Form.ADDRESS and "scheme" in parameters:
        form = Form.ORIGIN
    count = int(parameters["count"]) if "count" in parameters else None
    selector = Selector(version=parameters["version"]) if "version" in parameters else ANY
    return PlainRequest(path.removeprefix("/next").removeprefix("/") or default, selector, form, count), headers


def _headers(block: bytes) -> Mapping[str, str] | None:
    """The headers by their usual spelling; None where one is twice there or may change the answer, or without Host."""
    pairs = [line.partition(b": ")[::2] for line in block.split(b"\r\n")[:-1]]
    names = [name.lower() for name, _ in pairs]
    if not _HARMLESS.issuperset(names) or len(set(names)) != len(names) or b"host" not in names:
        return None
    return {name.decode().title(): value.decode() for name, (_, value) in zip(names, pairs, strict=True)}


def _parameters(query: str) -> Mapping[str, str] | None:
    """The parameters of a query; None where one is unknown, twice there, or of a value that aiohttp has to judge."""
    pairs = [pair.partition("=")[::2] for pair in query.split("&")] if query else []
    parameters = dict(pairs)
    plain = all(name in _VALUES and _VALUES[name].fullmatch(value) for name, value in pairs)
    return parameters if plain and len(parameters) == len(pairs) else None
