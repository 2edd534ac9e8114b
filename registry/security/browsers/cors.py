"""CORS: which web pages' scripts may ask here, and the headers that tell a browser so. Pure.

A browser asks first (a preflight) before it sends what a form could not send, such as an Authorization header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from registry.runtime.errors import SettingsError

ANY = "*"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")

_METHODS = "GET, HEAD, POST"
_REQUEST_HEADERS = (
    "Authorization, Content-Type, Accept, P2P-Boot, P2P-Timeout-Ms, Inference-Header-Content-Length, X-Request-ID"
)
_RESPONSE_HEADERS = (
    "Retry-After, WWW-Authenticate, X-Registry-Stale, X-Registry-Panic, Server-Timing, "
    "Inference-Header-Content-Length, X-Request-Id"
)
_KEPT_S = 600  # for so long a browser need not ask again


def origin(text: str) -> str:
    """An origin as a browser sends it: `scheme://host[:port]` in lower case, or `*`. Raises SettingsError."""
    if text != ANY and not _ORIGIN.fullmatch(text):
        raise SettingsError(
            f"{text[:80]!a} is not an origin: write https://page.example or http://localhost:8000, in lower case and "
            "without a path, or * for all."
        )
    return text


class Origins:
    """The origins whose pages may ask; none by default."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(allowed)

    def __bool__(self) -> bool:
        return bool(self._allowed)

    def headers(self, request: Mapping[str, str]) -> dict[str, str]:
        """The headers of the response to a request with these headers; none where it comes from no page."""
        asking = request.get("Origin")
        if asking is None or not self._allowed:
            return {}
        if ANY in self._allowed:
            return {"Access-Control-Allow-Origin": ANY, "Access-Control-Expose-Headers": _RESPONSE_HEADERS}
        if asking not in self._allowed:
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": asking,
            "Access-Control-Expose-Headers": _RESPONSE_HEADERS,
            "Vary": "Origin",
        }

    def preflight(self, method: str, request: Mapping[str, str]) -> dict[str, str] | None:
        """The headers of the response (204) to a preflight; None for any other request."""
        if not self._allowed or method != "OPTIONS" or "Access-Control-Request-Method" not in request:
            return None
        headers = self.headers(request)
        if "Access-Control-Allow-Origin" not in headers:
            return headers
        del headers["Access-Control-Expose-Headers"]
        return headers | {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _REQUEST_HEADERS,
            "Access-Control-Max-Age": str(_KEPT_S),
        }
