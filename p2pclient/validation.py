"""Checks the options that a user sets: each function returns the value to use, or raises ValueError with a cure."""

from __future__ import annotations

import math
from collections.abc import Sequence


def positive(name: str, seconds: float) -> float:
    """A time in seconds that is finite and above 0."""
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"{name} must be a number of seconds above 0, not {seconds}")
    return seconds


def at_least_one(name: str, number: int) -> int:
    """A count from 1 on."""
    if number < 1:
        raise ValueError(f"{name} must be 1 or more, not {number}")
    return number


def one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    """One of a few words."""
    if value not in allowed:
        raise ValueError(f"{name} must be {' or '.join(allowed)}, not {value!r}")
    return value


def token(text: str | None) -> str | None:
    """A secret that fits into a header; it is not repeated in the error."""
    if text is not None and not (text and text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("a token is one word of printable ASCII: is there a line break at its end?")
    return text
