"""Lines on standard output and standard error: their width, and characters that the encoding lacks."""

from __future__ import annotations

import shutil
import sys


def terminal_width() -> int:
    """The columns of the terminal, at least 72; 80 where there is no terminal."""
    return max(72, shutil.get_terminal_size((80, 24)).columns)


def write(text: str) -> None:
    """Write whole lines to standard output at once."""
    sys.stdout.write(printable(text))
    sys.stdout.flush()


def complain(command: str, sentence: str) -> None:
    """Write one line to standard error, which names the command."""
    print(f"p2p {command}: {sentence}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text with escapes for characters that standard output's encoding lacks (odd file names, labels)."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
