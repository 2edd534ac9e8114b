"""Lines on a terminal or in a file at once, whatever characters they contain."""

from __future__ import annotations

from typing import TextIO


def write_line(line: str, stream: TextIO) -> None:
    """Write a line at once; characters that the stream's encoding lacks (names that are not UTF-8) are escaped."""
    encoding = stream.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
