"""The target of an HTTP request as it was sent, taken apart without decoding it. Pure.

A request that is forwarded to another host must keep the very bytes of its target: a path that is decoded and encoded
again is another path (`%2F` is not `/`).
"""

from __future__ import annotations

import re
import string
from urllib.parse import quote, unquote

_SCHEME_AND_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")

# What may stand in a URL's path or query, and what clients send although it may not. Not the backslash: some clients
# read it as a slash.
_KEPT = "".join(c for c in string.printable if not c.isspace() and c not in "\\#")


def origin_form(target: str) -> str | None:
    """Path and query of a target (`/p?q`, `http://host/p?q`); None where it has no path (`*`, `host:port`)."""
    absolute = _SCHEME_AND_HOST.match(target)
    rest = (target[absolute.end() :] if absolute else target).partition("#")[0]
    if absolute and not rest.startswith("/"):
        return "/" + rest
    return rest if rest.startswith("/") else None


def location(origin: str, target: str) -> str:
    """The URL of `target` (path and query) at `origin` (scheme://host:port): ASCII, one line, always at that origin."""
    return f"{origin}{quote(target, safe=_KEPT, errors='surrogateescape')}"


def with_parameter(target: str, name: str, value: str) -> str:
    """The target with one more parameter at the end of its query."""
    return f"{target}{'&' if '?' in target else '?'}{name}={value}"


def split_service(target: str) -> tuple[str, str]:
    """`/to/SERVICE/REST?QUERY` as the service's name, decoded, and `/REST?QUERY`, untouched."""
    path, mark, query = target.partition("?")
    service, _, rest = path.removeprefix("/").partition("/")[2].partition("/")
    return unquote(service), f"/{rest}{mark}{query}"
