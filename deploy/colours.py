"""Colours for the lines that `p2p up` writes on a terminal: what is ready, what warns, what fails. Pure."""

from __future__ import annotations

import re

_GREEN, _YELLOW, _RED, _DIM, _BOLD, _END = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"

_OWN = re.compile(r"(Consul|Workers|Ready|Try|Stopping|All stopped)\b")
_CHILD = re.compile(r"\[[a-z0-9 ]+\] (?:\S+ \S+ ([DIWEC]) |(error:|Traceback))?")
_COLOURS = {"W": _YELLOW, "E": _RED, "C": _RED, "error:": _RED, "Traceback": _RED}


def coloured(text: str) -> str:
    """The lines, each with its colour; the words stay the same."""
    return "\n".join(map(_coloured_line, text.split("\n")))


def _coloured_line(line: str) -> str:
    child = _CHILD.match(line)
    if child is not None:
        colour = _COLOURS.get(child[1] or child[2] or "", _DIM)
        return f"{colour}{line}{_END}"
    own = _OWN.match(line)
    if own is None:
        return line
    colour = _GREEN if own[1] == "Ready" else _BOLD
    return f"{colour}{own[1]}{_END}{line[own.end() :]}"
