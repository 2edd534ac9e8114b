"""What is known of the workers in the catalogue means."""

from __future__ import annotations

from deploy.doctor.finding import Level
from deploy.doctor.findings.catalogue import CatalogueFacts, findings

URL = "http://127.0.0.1:8500"


def test_where_nobody_is_in_the_catalogue_nothing_is_said() -> None:
    assert findings(CatalogueFacts(0), url=URL, lookup=True) == []


def test_somebody_checks_the_workers() -> None:
    """Without a process that checks them a killed worker stays: an error for the lookup service's own host."""
    (found,) = findings(CatalogueFacts(1, checker="n1"), url=URL, lookup=True)
    assert (found.level, "agent of n1 checks the 1 worker in" in found.what) == (Level.OK, True)
    (found,) = findings(CatalogueFacts(2, checker=""), url=URL, lookup=False)
    assert (found.level, "checks the 2 workers in" in found.what) == (Level.WARNING, True)
    (found,) = findings(CatalogueFacts(2, checker=""), url=URL, lookup=True)
    assert (found.level, "p2p doctor --role lookup" in found.cure) == (Level.ERROR, True)
    (found,) = findings(CatalogueFacts(2, checker=None), url=URL, lookup=True)
    assert (found.level, "key:read and session:read" in found.what) == (Level.OK, True)


def test_what_is_left_over_has_a_command() -> None:
    """Nobody removes a node without a check, nor a worker that an operator has drained."""
    facts = CatalogueFacts(1, unchecked=["p2p-cats"], failing=["cats; rm"], checker="n1")
    _, node, drained = findings(facts, url=URL, lookup=False)
    assert node.cure.endswith(f"""-d '{{"Node": "p2p-cats"}}' {URL}/v1/catalog/deregister""")
    assert drained.cure.endswith("p2p undrain 'cats; rm'")
