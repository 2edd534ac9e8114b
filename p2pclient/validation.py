"""What a user may set, checked: each value comes out as it is used, or a ValueError says what would do."""

from __future__ import annotations

import math
import ssl
from collections.abc import Sequence
from typing import Literal


def positive(name: str, seconds: float) -> float:
    """A time in seconds that is finite and more than nothing."""
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


def tls(
    context: ssl.SSLContext | None, *, ca: str | None, cert: str | None, key: str | None
) -> ssl.SSLContext | Literal[True]:
    """What https is verified with: `context`; or the usual way (True), against the authorities in the PEM file
    `ca` if given, with a client certificate if `cert` (and `key`, unless in the same file) are.

    Raises OSError or ssl.SSLError, too, if a file cannot be read or holds something else.
    """
    if context is not None and (ca or cert or key):
        raise ValueError("ssl and ca, cert or key exclude each other: put all of it into the context")
    if key is not None and cert is None:
        raise ValueError("a key is of no use without its certificate: give cert, too")
    if context is not None or not (ca or cert):
        return context or True
    context = ssl.create_default_context(cafile=ca)
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context
