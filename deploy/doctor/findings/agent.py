"""What the Consul agent's answers mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.doctor.finding import Finding, error, ok, warning

OLDEST = (1, 8)
"""The oldest version that the tests run against."""

_VERSION = re.compile(r"(\d+)\.(\d+)")
_EMBEDDED = "+embedded"


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """What the agent at `url` says; `trouble` is a sentence where it does not answer, and the rest is empty then.

    `version` is empty where the token may not read it. `members` are those that the token is shown.
    """

    url: str
    trouble: str = ""
    leader: str = ""
    version: str = ""
    members: int = 0
    servers: Sequence[str] = ()


def findings(facts: AgentFacts) -> list[Finding]:
    """The agent answers, knows a leader, and is of a version that is supported."""
    if facts.trouble:
        return [error(facts.trouble, _cure(facts))]
    found = [_version(facts)]
    if not facts.leader:
        found.append(
            error(
                f"Consul at {facts.url} knows no leader: registrations and lookups go stale.",
                "Look at the servers with `consul operator raft list-peers`: more than half of them must run and "
                "reach each other.",
            )
        )
    elif len(facts.servers) == 2:
        found.append(
            warning("There are two Consul servers: if one fails there is no leader.", "Run three servers, or five.")
        )
    return found


def _cure(facts: AgentFacts) -> str:
    if "did not answer" in facts.trouble:
        return "Start Consul's agent there (p2p agent on one machine alone), or name another with --consul."
    return "The sentence says what to set; then run p2p doctor again."


def _version(facts: AgentFacts) -> Finding:
    who = f"{facts.members} members" if facts.members > 1 else "one member" if facts.members else "members unknown"
    if not facts.version:
        return ok(f"Consul at {facts.url} answers ({who}; its version needs agent:read or node:read).")
    match = _VERSION.match(facts.version)
    if match and (int(match[1]), int(match[2])) < OLDEST:
        return error(f"Consul at {facts.url} is of version {facts.version}.", "Upgrade it to 1.8 or newer.")
    if facts.version.endswith(_EMBEDDED):
        return ok(f"The embedded agent answers at {facts.url}: for one machine alone, and it keeps nothing.")
    return ok(f"Consul {facts.version} answers at {facts.url} ({who}).")
