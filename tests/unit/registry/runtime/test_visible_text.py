"""Text from elsewhere on a terminal: no character of it moves the cursor, forges a line or turns the text around."""

from __future__ import annotations

import io
import logging

import pytest

from p2pclient.cli.terminal_output import terminal
from registry.runtime.visible_text import VisibleFormatter, visible, visible_lines

HOSTILE = "\x1b[2J\x1b]0;evil\x07 a\r\nb\u202egnp\u2028\ud800\x9b"


@pytest.mark.parametrize("text", ["daisy", "日本 e\u0301 👩\u200d🔬", HOSTILE, *map(chr, range(0x250))])
def test_it_is_shown_as_the_client_shows_it(text: str) -> None:
    """The rule is the client's own: what can be read stays, and what controls a terminal becomes an escape."""
    assert visible(text) == terminal.visible(text)
    assert "\x1b" not in visible(text)


def test_lines_stay_lines() -> None:
    """A text of several lines is made visible line by line."""
    assert visible_lines("a\x1b\nb") == "a\\x1b\nb"


def test_log_lines_hold_no_control_characters() -> None:
    """Neither a message nor a traceback carries them; a message stays on one line, a traceback keeps its lines."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(VisibleFormatter("%(levelname)s %(message)s"))
    logger = logging.Logger("foreign")
    logger.addHandler(handler)
    logger.warning("Consul said %s.", HOSTILE)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logger.exception("failed")
    first, second, *traceback = stream.getvalue().splitlines()
    assert first == f"WARNING Consul said {visible(HOSTILE)}."
    assert (second, traceback[0]) == ("ERROR failed", "Traceback (most recent call last):")
    assert not any("\x1b" in line or "\u2028" in line for line in traceback)
