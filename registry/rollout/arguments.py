"""Reads what is given to `p2p split` and `p2p promote`: `3=90`, `4=5%`, `10m`. Pure.

Every function raises SettingsError with a sentence that says what can be given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from registry.rollout.record import Weights, checked_percents, checked_weights
from registry.runtime.errors import SettingsError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_WHOLE = re.compile(r"\d{1,9}")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)%?")


def weights(texts: Iterable[str]) -> Weights:
    """The weights in texts such as `3=90`; a version that is not named gets no calls."""
    found: dict[str, int] = {}
    for version, number in _pairs(texts, example="3=90"):
        if not _WHOLE.fullmatch(number):
            raise SettingsError(f"{version}={number[:20]} is no weight: give a whole number, as in 3=90 4=10.")
        found[version] = int(number)
    try:
        return checked_weights(found)
    except ValueError as error:
        raise SettingsError(f"The split cannot be used: {error}.") from error


def percents(texts: Iterable[str]) -> Mapping[str, float]:
    """The shadows in texts such as `4=5%`."""
    found: dict[str, float] = {}
    for version, number in _pairs(texts, example="4=5%"):
        match = _PERCENT.fullmatch(number)
        if not match:
            raise SettingsError(f"{version}={number[:20]} is no shadow: give a percent of the calls, as in 4=5%.")
        found[version] = float(match[1])
    try:
        return checked_percents(found)
    except ValueError as error:
        raise SettingsError(f"The shadows cannot be used: {error}.") from error


def seconds(text: str) -> float:
    """The time in a text such as `10m`, `90s` or `1.5h`; more than 0."""
    match = _DURATION.fullmatch(text)
    if not match or not 0 < float(match[1]) * _UNIT_S[match[2]] <= 30 * 86400:
        raise SettingsError(f"{text[:40]!a} is no time: give one above 0 and up to 30 days, such as 90s, 10m or 2h.")
    return float(match[1]) * _UNIT_S[match[2]]


def _pairs(texts: Iterable[str], *, example: str) -> Iterable[tuple[str, str]]:
    seen: set[str] = set()
    for text in texts:
        version, separator, number = text.rpartition("=")
        if not separator or not version:
            raise SettingsError(f"{text[:60]!a} names no version: write VERSION=NUMBER, as in {example}.")
        if version in seen:
            raise SettingsError(f"Version {version[:40]!a} is named twice.")
        seen.add(version)
        yield version, number
