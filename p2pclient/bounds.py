"""Reads the numbers that servers and workers send: a whole number within bounds, or ValueError; pure.

JSON knows numbers that no field of ours can hold, such as 1e400 (which Python reads as infinity) or one of 4,000
digits: converted without a look at them, they raise OverflowError, or fill the memory.
"""

from __future__ import annotations

INDEX_AT_MOST = 2**64 - 1
"""Consul's indexes are unsigned and have 64 bits."""

COUNT_AT_MOST = 2**53
"""The largest number up to which every whole number can be told from the next one in any JSON reader."""

WEIGHT_AT_MOST = 65_535
"""The largest weight that Consul accepts, and that a DNS record can hold."""

PORT_AT_MOST = 65_535

_DIGITS_AT_MOST = 20


def whole_number(value: object, *, least: int = 0, most: int = COUNT_AT_MOST) -> int:
    """`value`, a number of a JSON document; raises ValueError unless it is whole and from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"not a whole number from {least} to {most}")
    return value


def decimal(text: str, *, most: int) -> int:
    """The number that a header holds, in decimal digits; raises ValueError unless it is from 0 to `most`."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_AT_MOST):
        raise ValueError("not a number in decimal digits")
    return whole_number(int(digits), most=most)
