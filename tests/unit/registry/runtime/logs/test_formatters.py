"""Log records as lines."""

from __future__ import annotations

import json
import logging
import sys

from registry.runtime.logs.formatters import JsonFormatter, TextFormatter


def record(message: str, *args: object, fields: object = None, level: int = logging.INFO) -> logging.LogRecord:
    made = logging.LogRecord("registry.events", level, "file.py", 1, message, args, None)
    made.created = 1_700_000_000.5
    if fields is not None:
        made.__dict__["fields"] = fields
    return made


def test_json_is_one_line_with_the_fields_of_the_record() -> None:
    """Whatever a message holds, the line is ASCII and one object; fields cannot replace what every line has."""
    line = JsonFormatter().format(record("%s left\n\x1b[2J\u202e", "w1", fields={"event": "left", "level": "?"}))
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500+00:00",
        "level": "info",
        "logger": "registry.events",
        "message": "w1 left\n\x1b[2J\u202e",
        "event": "left",
    }


def test_json_holds_the_traceback() -> None:
    """In a field of its own."""
    made = record("It failed.")
    try:
        raise ValueError("odd")
    except ValueError:
        made.exc_info = sys.exc_info()
    assert json.loads(JsonFormatter().format(made))["exception"].endswith("ValueError: odd")


def test_text_is_the_sentence_and_of_a_fault_the_request() -> None:
    """Other fields stand in the sentence already."""
    assert TextFormatter().format(record("w1 left.", fields={"event": "left"})).endswith(" I registry.events: w1 left.")
    fault = record("It failed.", fields={"request_id": "a-1"}, level=logging.ERROR)
    assert TextFormatter().format(fault).endswith(" E registry.events: It failed. [request a-1]")
