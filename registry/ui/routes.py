"""The paths of the lookup service's page. Its scripts may ask workers, wherever they are, to which photos go."""

from __future__ import annotations

from aiohttp import web

from registry.runtime.pages.page_files import PAGE, PageFiles
from registry.web.refusal import Refusal

UI_PATHS = frozenset({"/ui", "/ui/{file}"})
"""The paths of the page, as the application names them: they need no token."""


def add_ui_routes(app: web.Application) -> None:
    """Add the page to the application."""
    known = PageFiles("registry.ui", connect="'self' http: https:")

    async def send(request: web.Request) -> web.Response:
        name = request.match_info["file"] or "index.html"
        if name not in known:
            raise Refusal(404, f"There is nothing at {request.path}: the page is at {PAGE}.")
        return known.response(request, name)

    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": PAGE})

    app.add_routes([web.get("/ui", redirect), web.get("/ui/{file:.*}", send)])
