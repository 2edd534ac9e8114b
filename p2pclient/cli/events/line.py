"""One event as one line for people: when, what kind, and the sentence. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from p2pclient.cli.terminal_output.terminal import visible

_KIND_COLUMNS = 16
_NO_TIME = "-" * 19


def as_line(event: dict[str, Any]) -> str:
    """`2026-11-28 15:00:00  critical          classify at ...`, in local time, without what controls terminals."""
    kind, text = (visible(str(event.get(name, ""))) for name in ("kind", "text"))
    return f"{_when(event.get('at'))}  {kind:{_KIND_COLUMNS}}  {text}\n"


def _when(at: object) -> str:
    if not isinstance(at, int | float):
        return _NO_TIME
    try:
        return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return _NO_TIME
