"""Writes lines to a terminal or a file at once; no character in them controls a terminal."""

from __future__ import annotations

from typing import TextIO

from registry.runtime.visible_text import visible


def write_line(line: str, stream: TextIO) -> None:
    """Write a line at once, with escapes for what controls terminals, and for what the stream's encoding lacks."""
    encoding = stream.encoding or "utf-8"
    print(visible(line).encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
