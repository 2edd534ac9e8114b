"""Standard output as it is: its width, and what its encoding can say."""

from __future__ import annotations

import shutil
import sys


def terminal_width() -> int:
    """Columns to write in; 80 where there is no terminal, never fewer than 72."""
    return max(72, shutil.get_terminal_size((80, 24)).columns)


def write(text: str) -> None:
    """To standard output at once."""
    sys.stdout.write(printable(text))
    sys.stdout.flush()


def printable(text: str) -> str:
    """What the encoding lacks (odd file names, labels) is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
