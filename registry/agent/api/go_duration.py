"""Durations as Consul writes them ("55s", "1m30s", "100ms"), turned into seconds. Pure."""

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
