"""What a lookup service's answers mean."""

from __future__ import annotations

import pytest

from deploy.doctor.finding import Level
from deploy.doctor.findings.lookup import LookupFacts, findings

URL = "http://lookup:12480"


@pytest.mark.parametrize(
    ("facts", "needed", "level", "says"),
    [
        (LookupFacts(URL, services=["cats"]), True, Level.OK, "knows cats"),
        (LookupFacts(URL, fault="connection refused"), True, Level.ERROR, "Start it"),
        (LookupFacts(URL, fault="connection refused"), False, Level.WARNING, "Start it"),
        (LookupFacts(URL, fault="its certificate is not trusted: expired"), True, Level.ERROR, "P2P_CA"),
        (LookupFacts(URL, denied="it answered 401: no token"), False, Level.ERROR, "P2P_TOKEN"),
        (LookupFacts(URL, waiting="it answered 503: not yet"), False, Level.ERROR, "not ready"),
        (LookupFacts(URL, stale_s=40, services=["cats"]), False, Level.WARNING, "for 40 s"),
    ],
)
def test_the_lookup_service(facts: LookupFacts, needed: bool, level: Level, says: str) -> None:
    """Where nothing is asked of this host in particular, one that does not run is a warning."""
    (found,) = findings([facts], needed=needed)
    assert found.level is level
    assert says in f"{found.what} {found.cure}"
