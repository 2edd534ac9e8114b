"""Formats log records, as lines for people or as one JSON object a line.

A record's `fields`, where it has them, stand in the JSON. In the text only the request's id is added: the sentence
says the rest. A line of a request that is traced names its trace.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from registry.runtime.logs.access_log import TRACE_ID_FIELD
from registry.runtime.tracing.current import current_trace
from registry.runtime.visible_text import VisibleFormatter

REQUEST_ID_FIELD = "request_id"


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """The fields that a record was given: `extra={"fields": {...}}`."""
    fields = record.__dict__.get("fields")
    return fields if isinstance(fields, Mapping) else {}


class TextFormatter(VisibleFormatter):
    """`2026-11-28 15:00:00,123 I registry.server: sentence`; nothing in a line controls terminals."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname).1s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  as logging names it
        """The record's line."""
        fields = fields_of(record)
        request_id = fields.get(REQUEST_ID_FIELD)
        if request_id and record.levelno >= logging.WARNING:  # a line of the access log names it itself
            record.message = f"{record.message} [request {request_id}]"
        trace = current_trace.get()
        if trace is not None and TRACE_ID_FIELD not in fields:
            record.message = f"{record.message} [trace {trace.trace_id}]"
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "message", ...}`, the record's fields, and `exception` with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of ASCII."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        trace = current_trace.get()
        traced = {} if trace is None else trace._asdict()
        return json.dumps({**traced, **fields_of(record), **line}, default=str)
