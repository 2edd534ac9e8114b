"""What private and public ticket keys mean."""

from __future__ import annotations

import pytest

from deploy.doctor.finding import Level, worst
from deploy.doctor.findings.ticket_keys import TicketKeyFacts, findings


@pytest.mark.parametrize(
    ("facts", "checks", "level", "says"),
    [
        (TicketKeyFacts("keys", ["a"], "", {"a": "host1", "b": "host2"}), True, Level.OK, "2, of host1, host2"),
        (TicketKeyFacts("keys", [], "", {}), False, Level.OK, "holds no key yet"),
        (TicketKeyFacts("keys", None, "others may read keys.", {}), False, Level.ERROR, "others may read"),
        (TicketKeyFacts("keys", ["a"], "", {}), False, Level.ERROR, "is not in Consul"),
        (TicketKeyFacts("keys", ["a"], "", {}, revoked=["a"]), False, Level.WARNING, "has been revoked"),
        (TicketKeyFacts(published={}), True, Level.ERROR, "no key with which to check"),
        (TicketKeyFacts(published={"a": "h"}, malformed=["x"]), True, Level.WARNING, "cannot be read"),
        (TicketKeyFacts(trouble="it does not answer."), True, Level.WARNING, "does not answer"),
    ],
)
def test_ticket_keys(facts: TicketKeyFacts, checks: bool, level: Level, says: str) -> None:
    """Every key that signs is published, and workers that require tickets have one to check with."""
    found = findings(facts, checks=checks)
    assert worst(found) is level
    assert says in " ".join(f"{finding.what} {finding.cure}" for finding in found)
