"""JSON responses: results, and errors as one sentence that says what to do; aiohttp or the fast path writes them."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from registry.security.access import AccessDenied
from registry.security.quota import OverQuota
from worker.errors import (
    BadRequest,
    Busy,
    Forbidden,
    NotFound,
    QuotaUsedUp,
    Unauthorized,
    WorkerError,
    WrongHost,
    WrongMethod,
)
from worker.web.request import IncomingRequest

logger = logging.getLogger(__name__)

_ACCESS_ERRORS: Mapping[int, type[WorkerError]] = {401: Unauthorized, 403: Forbidden, 421: WrongHost}

CONTENT_TYPE = "application/json; charset=utf-8"


@dataclass(slots=True)
class JsonResponse:
    """A body, a status, and headers beside those that every response has; `closing` ends the connection after it."""

    body: bytes
    status: int = 200
    headers: MutableMapping[str, str] = field(default_factory=dict)
    closing: bool = False

    def force_close(self) -> None:
        """End the connection after this response; named as in aiohttp's responses."""
        self.closing = True


def to_aiohttp(response: JsonResponse) -> web.Response:
    """The same response for aiohttp to write."""
    headers = {**response.headers, "Content-Type": CONTENT_TYPE}
    written = web.Response(status=response.status, body=response.body, headers=headers)
    if response.closing:
        written.force_close()
    return written


def error_response(error: WorkerError) -> JsonResponse:
    """The response to an error: its status, its sentence, and when it is worth asking again."""
    headers = {}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, WrongMethod):
        headers["Allow"] = ", ".join(error.allow)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = error.challenge
    return JsonResponse(_error_body(str(error)), error.status, headers)


def to_worker_error(error: Exception, request: IncomingRequest, *, request_id: str) -> WorkerError:
    """Any exception as one that a client may see; an unexpected one is logged with the request's id: a 500."""
    match error:
        case WorkerError():
            return error
        case ExceptionGroup():
            return to_worker_error(error.exceptions[0], request, request_id=request_id)
        case AccessDenied():
            return _ACCESS_ERRORS[error.status](str(error))
        case OverQuota():
            return QuotaUsedUp(str(error), retry_after_s=error.retry_after_s)
        case web.HTTPNotFound():
            return NotFound(f"There is nothing at {request.path}: POST an image to /; /openapi.json lists all else.")
        case web.HTTPMethodNotAllowed():
            return WrongMethod(f"{request.method} is not answered at {request.path}.", allow=error.allowed_methods)
        case HttpProcessingError() | web.RequestPayloadError():  # damaged compression, chunks or headers of a form
            return unreadable_request(error)
        case ConnectionError() | web.HTTPException():
            return BadRequest(f"The request could not be read: {error}.")
    fields = {"request_id": request_id}
    logger.error("A request failed by a fault of this worker.", exc_info=error, extra={"fields": fields})
    return WorkerError("This worker failed; its log says why.")


def unreadable_request(error: Exception) -> BadRequest:
    """The error for a request that aiohttp could not parse."""
    return BadRequest(f"The request could not be read: {_first_line(error)}.")


@lru_cache(maxsize=64)
def _error_body(sentence: str) -> bytes:
    """Cached, because a full worker sends the same sentence many times per second."""
    return f"{json.dumps({'error': sentence})}\n".encode()


def _first_line(error: Exception) -> str:
    """What aiohttp says, without the lines after it, which quote the request."""
    text = error.message if isinstance(error, HttpProcessingError) else str(error)
    return text.strip().partition("\n")[0].rstrip(".: ")[:200]
