"""A finding: what is the case, how bad that is, and the cure. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Level(enum.IntEnum):
    """How bad a finding is; the value is the exit code of a run in which it is the worst."""

    OK = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about what is the case, and one about the cure where something is to be done."""

    level: Level
    what: str
    cure: str = ""


def ok(what: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, what)


def warning(what: str, cure: str) -> Finding:
    """It works, but not as it should, or it will cease to."""
    return Finding(Level.WARNING, what, cure)


def error(what: str, cure: str) -> Finding:
    """It does not work."""
    return Finding(Level.ERROR, what, cure)


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level among the findings."""
    return max((finding.level for finding in findings), default=Level.OK)
