"""What the room for the cache means."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.doctor.finding import Level
from deploy.doctor.findings.disk import DiskFacts, findings

CACHE = Path("/cache")


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (DiskFacts(CACHE, 50 << 30), Level.OK),
        (DiskFacts(CACHE, 1 << 30), Level.WARNING),
        (DiskFacts(CACHE, 1 << 20), Level.ERROR),
        (DiskFacts(CACHE, 50 << 30, "this user may not write to /"), Level.ERROR),
    ],
)
def test_the_disk(facts: DiskFacts, level: Level) -> None:
    """Little room is a warning, none an error."""
    (found,) = findings(facts)
    assert found.level is level
    assert bool(found.cure) == (level is not Level.OK)
