"""What merely is no HTTP is answered with 400 by aiohttp, and not worth a traceback in anybody's log."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError


def quiet_logger(name: str) -> logging.Logger:
    """A logger for aiohttp's servers that passes on everything but the parser's complaints."""
    logger = logging.getLogger(name)
    logger.addFilter(_worth_logging)
    return logger


def _worth_logging(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], (HttpProcessingError, RequestPayloadError)))
