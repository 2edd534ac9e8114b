"""Text from elsewhere cannot control a terminal, whatever it holds, and stays as it is otherwise."""

from __future__ import annotations

import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pclient.cli.terminal_output.terminal import Warnings, visible


@given(st.text(st.characters()))
def test_nothing_controls_the_terminal(text):
    """No control character, no surrogate, no end of a line and no change of direction is left, whatever comes."""
    shown = visible(text)
    left = {c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert left <= {"\u200c", "\u200d"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tabby cat", "tabby cat"),
        ("Käfer 猫 👨\u200d👩\u200d👧 \\x", "Käfer 猫 👨\u200d👩\u200d👧 \\x"),
        ("\x1b[2J\x1b]0;evil\x07", r"\x1b[2J\x1b]0;evil\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\u202egnp", r"\u202egnp"),
        ("\u2066a\u2069 \u2028 \udcff \U000e0041", r"\u2066a\u2069 \u2028 \udcff \U000e0041"),
    ],
)
def test_escapes_can_be_seen(text, shown):
    """What controls becomes what Python calls it; scripts, emoji and backslashes stay."""
    assert visible(text) == shown


def test_warnings_become_sentences():
    """A warning of the library is said, with what an exception is, and nothing below a warning."""
    said: list[str] = []
    logger = logging.getLogger("tests of p2pclient.cli.terminal_output.terminal")
    logger.addHandler(Warnings(said.append))
    logger.propagate = False
    logger.info("not this")
    logger.warning("%s is left out", "w1")
    try:
        raise ValueError("odd")
    except ValueError:
        logger.exception("it goes on after this:")
    assert said == ["w1 is left out", "it goes on after this: ValueError('odd')"]
