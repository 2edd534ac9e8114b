"""Writes lines to standard output and standard error; text from elsewhere cannot control what shows them.

Labels, versions, names of services and files, and what servers say may hold any character. What would move a cursor,
end a line or turn the direction of the text becomes an escape such as \\x1b that everybody sees, on terminals and in
pipes, which may end at a terminal, too. JSON needs none of this: it has escapes of its own, and is exact.
"""

from __future__ import annotations

import logging
import shutil
import sys
import unicodedata
from collections.abc import Callable

_CONTROLLING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control, format and surrogate characters, and of those that end lines and paragraphs."""

_JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji need; they join or part letters and do nothing else."""


def terminal_width() -> int:
    """The columns of the terminal, at least 72; 80 where there is no terminal."""
    return max(72, shutil.get_terminal_size((80, 24)).columns)


def visible(text: str) -> str:
    """The text on one line, with escapes in place of characters that control terminals or turn text around."""
    if text.isprintable():
        return text
    return "".join(_escaped(character) if _controls(character) else character for character in text)


def _controls(character: str) -> bool:
    return unicodedata.category(character) in _CONTROLLING and character not in _JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def write(text: str) -> None:
    """Write whole lines to standard output at once."""
    sys.stdout.write(printable(text))
    sys.stdout.flush()


def clear_screen() -> None:
    """Go on at the top of an empty screen, if standard output is a terminal."""
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[H\x1b[2J")


def complain(command: str, sentence: str) -> None:
    """Write one line to standard error, which names the command."""
    print(f"p2p {command}: {visible(sentence)}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Whole lines with escapes: see `visible`; and for characters that standard output's encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    lines = "\n".join(map(visible, text.split("\n")))
    return lines.encode(encoding, "backslashreplace").decode(encoding)


class Warnings(logging.Handler):
    """Hands the library's warnings on as sentences: a lookup service in panic mode, a worker that is left out."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Say one warning; of an exception only what it is."""
        error = record.exc_info[1] if record.exc_info else None
        self._say(record.getMessage() if error is None else f"{record.getMessage()} {error!r}")


def show_warnings(say: Callable[[str], None]) -> None:
    """Let `say` have the warnings of the library from now on."""
    logger = logging.getLogger("p2pclient")
    logger.addHandler(Warnings(say))
    logger.propagate = False
