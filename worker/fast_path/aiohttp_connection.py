"""aiohttp's end of a connection, as a worker has it: what is no HTTP is refused in JSON, like everything else."""

from __future__ import annotations

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from worker.errors import BadRequest
from worker.web.refusals import one_line, refused
from worker.web.responses import as_response


class Connection(web.RequestHandler):
    """One client; `options` as for aiohttp's."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what could not be parsed; aiohttp has logged it, and closes behind it."""
        response = super().handle_error(request, status, exc, message)
        if isinstance(exc, HttpProcessingError) and status == BadRequest.status:
            response = as_response(refused(BadRequest(f"The request could not be read: {one_line(exc)}.")))
            response.force_close()
        return response
