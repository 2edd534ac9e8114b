"""Loggers for aiohttp's servers that leave out what clients do wrong.

aiohttp answers bytes that are not HTTP with 400 and logs a traceback; any client could fill the log with those.
"""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError


def quiet_logger(name: str) -> logging.Logger:
    """A logger for aiohttp's servers that drops the errors of the HTTP parser."""
    logger = logging.getLogger(name)
    logger.addFilter(_is_server_fault)
    return logger


def _is_server_fault(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], (HttpProcessingError, RequestPayloadError)))
