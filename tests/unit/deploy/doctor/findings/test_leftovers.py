"""What registrations without a living process mean."""

from __future__ import annotations

from deploy.doctor.finding import Level
from deploy.doctor.findings.leftovers import LeftoverFacts, Registered, findings

DEAD = Registered("cats-a-1", "10.0.0.5:1", True, "nobody listens there", "connection refused")
SICK = Registered("cats-b; rm-1", "10.0.0.6:1", True, "", "HTTP GET: 503.")


def test_each_leftover_has_the_command_that_removes_it() -> None:
    """Ids come from elsewhere: they are quoted for the shell. What is on a lost node is named once."""
    found = findings(LeftoverFacts([DEAD, SICK], {"n1": ["cats-c-1"], "n2": []}))
    assert [finding.level for finding in found] == [Level.WARNING] * 3
    assert [finding.cure.rpartition("consul ")[2] for finding in found] == [
        "force-leave -prune n1",
        "services deregister -id=cats-a-1",
        "services deregister -id='cats-b; rm-1'",
    ]
    assert len(findings(LeftoverFacts([DEAD], {"n1": [DEAD.id]}))) == 1


def test_nothing_is_left() -> None:
    """All is well."""
    (found,) = findings(LeftoverFacts([], {}))
    assert found.level is Level.OK
