"""Serves a page's files from memory, under a policy that lets nothing run in it but its own scripts.

A page's files hold no data: a page asks for what it shows, with a token where tokens are on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

from aiohttp import web
from aiohttp.typedefs import Handler

PAGE = "/ui/"

_SHARED = "registry.runtime.pages"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class _File:
    """One file of the page, as it is sent."""

    body: bytes
    content_type: str
    tag: str


class PageFiles(Mapping[str, _File]):
    """The files of one page by their names: those that all pages share, and those in `package`'s folder `static`.

    `connect` are the sources, in the words of a Content-Security-Policy, to which the page's scripts may send requests.
    """

    def __init__(self, package: str, *, connect: str = "'self'") -> None:
        self._files = {**_read_files(_SHARED), **_read_files(package)}
        self._headers = {
            "Content-Security-Policy": _policy(connect),
            "Cache-Control": "no-cache",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    def __getitem__(self, name: str) -> _File:
        return self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def response(self, request: web.Request, name: str) -> web.Response:
        """The response with the file of this name; 304 if the browser has it. Raises KeyError for an unknown name."""
        file = self._files[name]
        headers = {**self._headers, "ETag": file.tag}
        if request.headers.get("If-None-Match") == file.tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, content_type=file.content_type, charset="utf-8", headers=headers)


@web.middleware
async def sends_browsers_to_page(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: a browser that asks for the root is sent to the page; all other requests pass."""
    if request.path == "/" and request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        return web.Response(status=302, headers={"Location": PAGE, "Vary": "Accept"})
    return await handler(request)


def _policy(connect: str) -> str:
    return "; ".join((
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        f"connect-src {connect}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no text ever becomes markup: browsers refuse innerHTML
        "trusted-types 'none'",
    ))  # fmt: skip


def _read_files(package: str) -> Mapping[str, _File]:
    """The files in a package's folder `static` by their names."""
    found = {}
    for file in files(package).joinpath("static").iterdir():
        content_type = _TYPES.get(PurePosixPath(file.name).suffix)
        if content_type is not None:
            body = file.read_bytes()
            found[file.name] = _File(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
    return found
