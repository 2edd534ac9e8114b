"""Durations as Consul writes them ("55s", "1m30s", "100ms"), read into seconds and written from them. Pure."""

from __future__ import annotations

import re

# Go's time.ParseDuration: a sign, then one or more numbers, each with its unit; a lone "0" needs none.
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PART = re.compile(rf"({_NUMBER})({'|'.join(_UNIT_S)})")
_WHOLE = re.compile(rf"[+-]?(?:{_NUMBER}(?:{'|'.join(_UNIT_S)}))+")
_NO_UNIT = re.compile(rf"[+-]?(?:{_NUMBER}(?:{'|'.join(_UNIT_S)}))*{_NUMBER}")
# Go counts nanoseconds in a signed 64-bit integer.
_LONGEST_S = 2**63 / 1e9


def parse_duration(text: str) -> float:
    """Seconds in a Go duration such as "1m30s", "-5s", "1.5h" or "0".

    Raises ValueError with Go's own sentence when it is none, or when it is longer than Go can count.
    """
    if text in ("0", "+0", "-0"):
        return 0.0
    if not _WHOLE.fullmatch(text):
        what = "missing unit in" if _NO_UNIT.fullmatch(text) else "invalid"
        raise ValueError(f'time: {what} duration "{text}"')
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))
    if seconds >= _LONGEST_S:
        raise ValueError(f'time: invalid duration "{text}"')
    return -seconds if text.startswith("-") else seconds


def format_duration(seconds: float) -> str:
    """Seconds as Go's time.Duration writes them: "1h2m3.5s", "1.5s", "20ms", "0s"."""
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    nanoseconds = round(seconds * 1e9)
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1), ("\u00b5s", 1_000), ("ms", 1_000_000)):
        if nanoseconds < size * 1000:
            return f"{sign}{_decimal(nanoseconds, size)}{unit}"
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    parts = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{parts}{_decimal(rest, 10**9)}s"


def _decimal(amount: int, size: int) -> str:
    """`amount` divided by a power of ten, exactly, without trailing zeros."""
    whole, rest = divmod(amount, size)
    fraction = f"{rest:0{len(str(size)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)
