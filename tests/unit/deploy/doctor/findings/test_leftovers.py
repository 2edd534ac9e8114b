"""What registrations without a living process mean."""

from __future__ import annotations

from dataclasses import replace

from deploy.doctor.finding import Level
from deploy.doctor.findings.leftovers import LeftoverFacts, Registered, findings

URL = "http://127.0.0.1:8500"
DEAD = Registered("cats-a-1", "10.0.0.5:1", True, "nobody listens there", "connection refused")
SICK = Registered("cats-b; rm-1", "10.0.0.6:1", True, "", "HTTP GET: 503.")


def test_each_leftover_has_the_command_that_removes_it() -> None:
    """Ids come from elsewhere: they are quoted for the shell. What is on a lost node is named once."""
    found = findings(LeftoverFacts([DEAD, SICK], {"n1": ["cats-c-1"], "n2": []}, URL))
    assert [finding.level for finding in found] == [Level.WARNING] * 3
    assert [finding.cure.rpartition("consul ")[2] for finding in found] == [
        "force-leave -prune n1",
        "services deregister -id=cats-a-1",
        "services deregister -id='cats-b; rm-1'",
    ]
    assert len(findings(LeftoverFacts([DEAD], {"n1": [DEAD.id]}, URL))) == 1


def test_no_agent_removes_what_is_in_the_catalogue() -> None:
    """`consul services deregister` knows only an agent's own services: a node of the catalogue goes by Consul's API."""
    (found,) = findings(LeftoverFacts([replace(DEAD, node="p2p-cats-a-1")], {}, URL))
    header = '-H "X-Consul-Token: $CONSUL_HTTP_TOKEN"'
    assert found.cure == f"""curl -X PUT {header} -d '{{"Node": "p2p-cats-a-1"}}' {URL}/v1/catalog/deregister"""


def test_nothing_is_left() -> None:
    """All is well."""
    (found,) = findings(LeftoverFacts([], {}, URL))
    assert found.level is Level.OK
