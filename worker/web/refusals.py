"""Every error becomes one JSON sentence that says what to do."""

from __future__ import annotations

import json
import logging
import math
from functools import lru_cache

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from worker.errors import BadRequest, Busy, NotFound, WorkerError, WrongMethod
from worker.web.request import Asked
from worker.web.responses import Answer

logger = logging.getLogger(__name__)


def as_ours(error: Exception, request: Asked) -> WorkerError:
    """Any error as one that a client may see; what nobody foresaw is logged, and a 500."""
    match error:
        case WorkerError():
            return error
        case ExceptionGroup():
            return as_ours(error.exceptions[0], request)
        case web.HTTPNotFound():
            return NotFound(f"There is nothing at {request.path}: POST an image to /; /openapi.json lists all else.")
        case web.HTTPMethodNotAllowed():
            return WrongMethod(f"{request.method} is not answered at {request.path}.", allow=error.allowed_methods)
        case HttpProcessingError() | web.RequestPayloadError():  # damaged compression, chunks or headers of a form
            return BadRequest(f"The request could not be read: {one_line(error)}.")
        case ConnectionError() | web.HTTPException():
            return BadRequest(f"The request could not be read: {error}.")
    logger.error("A request failed by a fault of this worker.", exc_info=error)
    return WorkerError("This worker failed; its log says why.")


def refused(error: WorkerError) -> Answer:
    """The answer that an error is: its status, its sentence, and when to come again."""
    headers = {}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, WrongMethod):
        headers["Allow"] = ", ".join(error.allow)
    return Answer(_said(str(error)), error.status, headers)


@lru_cache(maxsize=64)
def _said(sentence: str) -> bytes:
    """A full worker says the same many times a second."""
    return f"{json.dumps({'error': sentence})}\n".encode()


def one_line(error: Exception) -> str:
    """What aiohttp says, without what it quotes of the request on the following lines."""
    text = error.message if isinstance(error, HttpProcessingError) else str(error)
    return text.strip().partition("\n")[0].rstrip(".: ")[:200]
