"""Writes findings as text for people, or as JSON. Pure."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.doctor.finding import Finding, Level, worst

WIDTH = 110
_INDENT = 10


@dataclass(frozen=True, slots=True)
class Group:
    """The findings of one check, under its name."""

    name: str
    findings: Sequence[Finding]


def as_text(groups: Sequence[Group]) -> str:
    """A heading for each group, its findings with their cures, and how many errors and warnings there are."""
    lines = []
    for group in groups:
        lines.append(group.name)
        for finding in group.findings:
            lines += _wrapped(f"{finding.level.name.lower():<8}", finding.what)
            if finding.cure:
                lines += _wrapped("", f"Cure: {finding.cure}")
    return "\n".join([*lines, "", _summary(groups)]) + "\n"


def as_json(groups: Sequence[Group]) -> str:
    """One object on one line."""
    findings = [
        {"check": group.name, "level": finding.level.name.lower(), "what": finding.what, "cure": finding.cure or None}
        for group in groups
        for finding in group.findings
    ]
    counts = {f"{level.name.lower()}s": _count(groups, level) for level in (Level.ERROR, Level.WARNING)}
    return json.dumps({"findings": findings} | counts) + "\n"


def exit_code(groups: Sequence[Group]) -> int:
    """0 where all is well, 1 for warnings, 2 for errors."""
    return int(worst(finding for group in groups for finding in group.findings))


def _summary(groups: Sequence[Group]) -> str:
    errors, warnings = _count(groups, Level.ERROR), _count(groups, Level.WARNING)
    if not errors and not warnings:
        return "All is well."
    counts = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    return f"{' and '.join(counts)}: mend the first one first."


def _count(groups: Sequence[Group], level: Level) -> int:
    return sum(finding.level is level for group in groups for finding in group.findings)


def _wrapped(label: str, text: str) -> list[str]:
    """The label and the text in lines, the text in a column of its own."""
    lines = textwrap.wrap(_visible(text), WIDTH - _INDENT, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"  {label:<{_INDENT - 2}}{lines[0]}", *(" " * _INDENT + line for line in lines[1:])]


def _visible(text: str) -> str:
    """The text with escapes for characters that could control a terminal: some of it comes from elsewhere."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
