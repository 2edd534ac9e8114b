"""What free and taken ports mean."""

from __future__ import annotations

from deploy.doctor.finding import Level
from deploy.doctor.findings.ports import PortFacts, findings


def test_the_port() -> None:
    """Free or taken by its own part is fine; a stranger is named."""
    free = PortFacts("the lookup service", "--port", "127.0.0.1", 12480)
    ours = PortFacts("the worker", "--port", "127.0.0.1", 7001, "It is taken.", ours=True)
    taken = PortFacts("the worker", "--port", "127.0.0.1", 7001, "It is taken.", owner="process 12 (nginx)")
    levels = [finding.level for finding in findings([free, ours, taken])]
    assert levels == [Level.OK, Level.OK, Level.ERROR]
    assert "process 12 (nginx)" in findings([taken])[0].what
