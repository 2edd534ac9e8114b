"""What the lookup service's answers mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.doctor.finding import Finding, error, ok, warning


@dataclass(frozen=True, slots=True)
class LookupFacts:
    """What one lookup service says: why it does not answer at all, or not this token (`denied`), else its state.

    `waiting`: why it is not ready. `stale_s`: for how long it has not been able to ask Consul.
    """

    url: str
    fault: str = ""
    denied: str = ""
    waiting: str = ""
    stale_s: float = 0.0
    services: Sequence[str] = ()


def findings(all_facts: Sequence[LookupFacts], *, needed: bool) -> list[Finding]:
    """Clients need one lookup service that answers; `needed`: where none does, nothing works."""
    return [_finding(facts, needed=needed) for facts in all_facts]


def _finding(facts: LookupFacts, *, needed: bool) -> Finding:
    where = f"The lookup service at {facts.url}"
    if facts.fault:
        what = f"{where} does not answer: {facts.fault}."
        cure = "Start it there (p2p registry, or p2p up), or name another with --registry or P2P_REGISTRY."
        if "certificate" in facts.fault:
            cure = "Name its authority's certificate in P2P_CA; the certificate must name the host that is asked."
        return error(what, cure) if needed else warning(what, cure)
    if facts.denied:
        cure = "Give a token of its token file in P2P_TOKEN; `p2p tokens new NAME` makes one."
        return error(f"{where} refuses this token: {facts.denied}.", cure)
    if facts.waiting:
        return error(f"{where} is not ready: {facts.waiting}.", "Look at the checks of Consul on its host.")
    if facts.stale_s:
        return warning(
            f"{where} has not been able to ask Consul for {facts.stale_s:.0f} s: it answers from what it knew.",
            "Run p2p doctor --role lookup on its host.",
        )
    return ok(f"{where} answers; it knows {', '.join(facts.services) or 'no service yet'}.")
