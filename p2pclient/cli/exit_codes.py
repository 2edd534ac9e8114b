"""The exit codes of the client's commands."""

from __future__ import annotations

FAILED = 1
INTERRUPTED = 130

EXIT_CODES = (
    "Exit codes: 0 all went well; 1 something failed, and a line on standard error says what; 2 wrong usage; "
    "130 interrupted with Ctrl-C."
)
