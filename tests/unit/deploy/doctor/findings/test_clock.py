"""What differences between clocks mean."""

from __future__ import annotations

import pytest

from deploy.doctor.finding import Level
from deploy.doctor.findings.clock import ClockFacts, findings


@pytest.mark.parametrize(
    ("ahead_s", "level"),
    [(0.5, Level.OK), (-4, Level.OK), (6, Level.WARNING), (-29, Level.WARNING), (31, Level.ERROR), (-4e7, Level.ERROR)],
)
def test_the_clock(ahead_s: float, level: Level) -> None:
    """Beyond the 30 s that the check of a ticket allows it is an error."""
    (found,) = findings(ClockFacts({"Consul": ahead_s}))
    assert found.level is level
    assert ("behind" if ahead_s < 0 else "ahead of") in found.what or level is Level.OK
