"""Makes text from elsewhere harmless to terminals, in log lines and in sentences: escapes for what controls them. Pure.

Consul, workers, names of files and labels can bring any character. `p2p`'s own commands have the same rule in
p2pclient/cli/terminal_output/terminal.py, which imports nothing of this package.
"""

from __future__ import annotations

import logging
import unicodedata

_CONTROLLING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control, format and surrogate characters, and of those that end lines and paragraphs."""

_JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji need; they join or part letters and do nothing else."""


def visible(text: str) -> str:
    """The text on one line, with escapes such as \\x1b in place of characters that control terminals."""
    if text.isprintable():
        return text
    return "".join(_escaped(character) if _controls(character) else character for character in text)


def visible_lines(text: str) -> str:
    """Several lines, each of them `visible`."""
    return "\n".join(map(visible, text.split("\n")))


def _controls(character: str) -> bool:
    return unicodedata.category(character) in _CONTROLLING and character not in _JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class VisibleFormatter(logging.Formatter):
    """Formats log records: a message stays on its line, and neither it nor a traceback controls terminals."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  as logging names it
        """The record's line."""
        record.message = visible(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: tuple[type[BaseException], BaseException, object] | tuple[None, None, None]) -> str:  # noqa: N802  as logging names it
        """The traceback's lines."""
        return visible_lines(super().formatException(ei))  # type: ignore[arg-type]  # logging's own alias is private
