"""aiohttp's side of a connection: broken HTTP gets a JSON response, and idle time counts what aiohttp does not see.

Of the worker only this module uses private names of aiohttp. They, and those that `BoundedConnection` uses, are checked
when it is imported, so that a worker with another aiohttp fails at its start and not at a request.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError

from registry.runtime.connections.open_connections import Connections
from registry.runtime.connections.request_handler import BoundedConnection
from worker.errors import BadRequest
from worker.web.responses import error_response, to_aiohttp, unreadable_request

SUPPORTED_AIOHTTP = ">=3.14.4,<3.15"
"""As in pyproject.toml; .ci/run tests this package at the lowest and at the newest of these versions."""

_PRIVATE_NAMES = (
    "_waiter",
    "_next_keepalive_close_time",
    "_process_keepalive",
    "_messages",
    "_current_request",
    "_request_in_progress",
    "_paused",
    "_reading_paused",
)


def check_private_names(handler: type = web.RequestHandler) -> None:
    """Raise ImportError where aiohttp's request handler lacks a name that this module uses."""
    missing = [name for name in _PRIVATE_NAMES if not hasattr(handler, name)]
    if missing:
        raise ImportError(
            f"aiohttp {aiohttp.__version__} cannot be used by p2p worker (RequestHandler lacks {', '.join(missing)}): "
            f"pip install 'aiohttp{SUPPORTED_AIOHTTP}'."
        )


check_private_names()


class AiohttpConnection(BoundedConnection):
    """One client's connection, which is one of `connections`; `options` as for aiohttp's RequestHandler."""

    __slots__ = ("closing",)

    def __init__(self, server: web.Server, connections: Connections, **options: Any) -> None:
        super().__init__(server, connections, **options)
        self.closing = False  # no further request is taken

    def data_received(self, data: bytes) -> None:
        """Bytes from the client; called by the transport."""
        super().data_received(data)
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            error = self._messages[-1][0].exc
            if isinstance(error, HttpProcessingError):
                self._end_broken_bodies(error)

    def _end_broken_bodies(self, error: Exception) -> None:
        """Tell the readers of unfinished bodies that the rest could not be parsed; aiohttp would let them wait."""
        bodies = [payload for _, payload in self._messages]
        if self._current_request is not None:
            bodies.append(self._current_request.content)
        for body in bodies:
            if not body.is_eof() and body.exception() is None:
                body.set_exception(web.RequestPayloadError(str(unreadable_request(error))))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to a request that could not be parsed; aiohttp has logged the error and closes after it."""
        response = super().handle_error(request, status, exc, message)
        if isinstance(exc, HttpProcessingError) and status == BadRequest.status:
            response = to_aiohttp(error_response(unreadable_request(exc)))
            response.force_close()
        return response

    def waits_for_request(self) -> bool:
        """Whether aiohttp has answered all that it was given and waits for the next request."""
        return self._waiter is not None and not self._waiter.done()

    def is_answering(self) -> bool:
        """Whether a request is being answered of which aiohttp does not know."""
        return False

    @property
    def idle(self) -> bool:
        """Whether no request is being answered, by aiohttp or without it."""
        return super().idle and not self.is_answering()

    def _process_keepalive(self) -> None:
        """aiohttp's timer for idle connections."""
        if self.is_answering():
            self.restart_idle_time()
        super()._process_keepalive()

    def close(self) -> None:
        """Take no further request; the first step of aiohttp's shutdown."""
        self.closing = True
        super().close()

    def pause_reading_client(self) -> None:
        """Take no more bytes from the client for now; may be called again."""
        if self.transport is not None and self.transport.is_reading():
            self.transport.pause_reading()

    def resume_reading_client(self) -> None:
        """Take bytes from the client again."""
        if self.transport is not None and not self.transport.is_closing() and not self.transport.is_reading():
            self.transport.resume_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """A reader of a body wants more; called by aiohttp for each piece that is read.

        Where a packed body has paused, aiohttp would unpack its next piece here: a reader that finds another piece
        whenever it asks, as aiohttp itself when it skips the rest of a refused body, would never let the loop go on.
        """
        if self._reading_paused:
            self.loop.call_soon(super().resume_reading, resume_parser)
        else:
            super().resume_reading(resume_parser)
