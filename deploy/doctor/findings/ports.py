"""What free and taken ports mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.doctor.finding import Finding, error, ok


@dataclass(frozen=True, slots=True)
class PortFacts:
    """A port that a part of ours is to listen on, as `flag` says. `fault`: why it cannot be bound, "" where it can.

    `ours`: what answers there is such a part already. `owner`: the process that holds it, where the system tells.
    """

    part: str
    flag: str
    host: str
    port: int
    fault: str = ""
    ours: bool = False
    owner: str = ""


def findings(all_facts: Sequence[PortFacts]) -> list[Finding]:
    """A port is free, or taken by what is to have it."""
    return [_finding(facts) for facts in all_facts]


def _finding(facts: PortFacts) -> Finding:
    if not facts.fault:
        return ok(f"Port {facts.port} on {facts.host}, {facts.part}'s, is free.")
    if facts.ours:
        return ok(f"Port {facts.port} on {facts.host} is {facts.part}'s, which runs.")
    owner = f" It is held by {facts.owner}." if facts.owner else ""
    return error(
        f"{facts.fault}{owner}", f"Stop what is there, or give {facts.part} another address or port with {facts.flag}."
    )
