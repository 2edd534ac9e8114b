"""What the Consul agent's answers mean."""

from __future__ import annotations

import pytest

from deploy.doctor.finding import Level, worst
from deploy.doctor.findings.agent import AgentFacts, findings

URL = "http://127.0.0.1:8500"
WELL = AgentFacts(URL, "", "10.0.0.1:8300", "1.8.7", 3, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])


@pytest.mark.parametrize(
    ("facts", "level", "says"),
    [
        (WELL, Level.OK, "Consul 1.8.7 answers"),
        (AgentFacts(URL, "", "127.0.0.1:8300", "1.8.7+embedded", 1, ["127.0.0.1"]), Level.OK, "keeps nothing"),
        (AgentFacts(URL, "", "10.0.0.1:8300", "", 0, ["10.0.0.1"]), Level.OK, "needs agent:read"),
        (AgentFacts(URL, "", "10.0.0.1:8300", "1.7.2", 1, ["10.0.0.1"]), Level.ERROR, "1.8 or newer"),
        (AgentFacts(URL, "", "", "1.8.7", 3), Level.ERROR, "knows no leader"),
        (AgentFacts(URL, "", "a", "1.22.0", 2, ["10.0.0.1", "10.0.0.2"]), Level.WARNING, "three servers"),
        (AgentFacts(URL, f"Consul at {URL} did not answer: connection refused."), Level.ERROR, "Start Consul's agent"),
        (AgentFacts(URL, "The certificate cannot be trusted."), Level.ERROR, "The sentence says what to set"),
    ],
)
def test_the_agent(facts: AgentFacts, level: Level, says: str) -> None:
    """Reachable, of a version that is supported, with a leader that survives a failure."""
    found = findings(facts)
    assert worst(found) is level
    assert says in " ".join(f"{finding.what} {finding.cure}" for finding in found)
