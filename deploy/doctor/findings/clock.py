"""What differences between clocks mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.doctor.finding import Finding, error, ok, warning

WARN_S = 5.0
FAIL_S = 30.0
"""The difference of clocks that the check of a ticket allows."""


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """By how many seconds each clock is ahead of this host's; the Date that tells it is in whole seconds."""

    ahead_s: Mapping[str, float]


def findings(facts: ClockFacts) -> list[Finding]:
    """Tickets and certificates are valid for a time that hosts must agree on."""
    return [_finding(whose, ahead_s) for whose, ahead_s in facts.ahead_s.items()]


def _finding(whose: str, ahead_s: float) -> Finding:
    what = f"The clock of {whose} is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this host's"
    cure = "Let both hosts follow a time server (chrony, systemd-timesyncd): `timedatectl` says whether they do."
    if abs(ahead_s) > FAIL_S:
        return error(f"{what}: tickets are refused as expired or not yet valid.", cure)
    if abs(ahead_s) > WARN_S:
        return warning(f"{what}; beyond 30 s tickets are refused.", cure)
    return ok(f"The clock of {whose} agrees with this host's.")
