"""`/ui/` shows the worker, `/docs` what `/openapi.json` describes; both ask for their data as any client does."""

from __future__ import annotations

from aiohttp import web

from registry.runtime.pages.page_files import PAGE, PageFiles
from worker.errors import NotFound
from worker.web.routes import Route

DOCS = "/docs"
PAGE_TAG = "page"

_FILES = PageFiles("worker.ui")
_HTML = {PAGE: "index.html", DOCS: "docs.html"}

PAGE_PATHS = frozenset({*_HTML, *(f"{PAGE}{name}" for name in _FILES if not name.endswith(".html"))})
"""The paths of the pages' files, which hold no data: they need neither a token nor a ticket."""


def page_routes() -> list[Route]:
    """The paths of the pages."""
    unchanged = {304: "The browser has it."}
    return [
        Route("GET", PAGE, _send, tag=PAGE_TAG, summary="The worker's web page.", answer={"text/html": bytes},
              also=unchanged),
        Route("GET", DOCS, _send, tag=PAGE_TAG, summary="This description as a web page.",
              answer={"text/html": bytes}, also=unchanged),
        Route("GET", f"{PAGE}{{file}}", _send, tag=PAGE_TAG, summary="A file of the web pages.",
              answer={"text/css": bytes, "text/javascript": bytes, "image/svg+xml": bytes}, also=unchanged,
              refuses=(NotFound,)),
    ]  # fmt: skip


async def _send(request: web.Request) -> web.Response:
    if request.path not in PAGE_PATHS:
        raise NotFound(f"There is nothing at {request.path}: the page is at {PAGE}.")
    return _FILES.response(request, _HTML.get(request.path) or request.path.removeprefix(PAGE))
