"""Serves the page's files from memory, under a policy that lets nothing run in it but its own scripts.

The page holds no data: what it shows it asks for itself, with the operator's token where tokens are on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

from aiohttp import web
from aiohttp.typedefs import Handler

from registry.web.refusal import Refusal

PAGE = "/ui/"
UI_PATHS = frozenset({"/ui", "/ui/{file}"})
"""The paths of the page, as the application names them: they need no token."""

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_POLICY = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",
    "connect-src 'self' http: https:",  # photos go straight to the workers, wherever they are
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",  # no text ever becomes markup: browsers refuse innerHTML
    "trusted-types 'none'",
))  # fmt: skip

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class _File:
    """One file of the page, as it is sent."""

    body: bytes
    content_type: str
    tag: str


def add_ui_routes(app: web.Application) -> None:
    """Add the page to the application."""
    known = _read_files()

    async def send(request: web.Request) -> web.Response:
        found = known.get(request.match_info["file"] or "index.html")
        if found is None:
            raise Refusal(404, f"There is nothing at {request.path}: the page is at {PAGE}.")
        headers = {**_HEADERS, "ETag": found.tag}
        if request.headers.get("If-None-Match") == found.tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=found.body, content_type=found.content_type, charset="utf-8", headers=headers)

    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": PAGE})

    app.add_routes([web.get("/ui", redirect), web.get("/ui/{file:.*}", send)])


@web.middleware
async def sends_browsers_to_page(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: a browser that asks for the root gets the page, where curl gets a line."""
    if request.path == "/" and request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        return web.Response(status=302, headers={"Location": PAGE, "Vary": "Accept"})
    return await handler(request)


def _read_files() -> Mapping[str, _File]:
    """The page's files by their names."""
    found = {}
    for file in files("registry.ui").joinpath("static").iterdir():
        content_type = _TYPES.get(PurePosixPath(file.name).suffix)
        if content_type is not None:
            body = file.read_bytes()
            found[file.name] = _File(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
    return found
