"""What registrations without a living process mean. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.doctor.finding import Finding, ok, warning
from deploy.doctor.findings.catalogue import removal


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration that does not pass its checks, or is of this host and not of a living process.

    `fault`: what was found at its address from here, "" where it was not asked; `output`: what its check says. `node`:
    its node in the catalogue where no agent keeps it, else "".
    """

    id: str
    address: str
    critical: bool
    fault: str
    output: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class LeftoverFacts:
    """Registrations to look at, and the nodes whose agents have failed, each with the ids of our services there.

    `url` is Consul's, for the commands that mend it.
    """

    registered: Sequence[Registered]
    lost_nodes: Mapping[str, Sequence[str]]
    url: str


def findings(facts: LeftoverFacts) -> list[Finding]:
    """Consul removes what has been critical for 60 to 90 s; what nobody checks any more it keeps for days."""
    lost = {instance for instances in facts.lost_nodes.values() for instance in instances}
    found = [_lost(node, instances) for node, instances in facts.lost_nodes.items() if instances]
    found += [_dead(entry, facts.url) for entry in facts.registered if entry.fault and entry.id not in lost]
    found += [_critical(entry, facts.url) for entry in facts.registered if not entry.fault and entry.id not in lost]
    return found or [ok("Nothing in Consul is left over from processes that are gone.")]


def _lost(node: str, instances: Sequence[str]) -> Finding:
    return warning(
        f"The agent of node {node} is gone, so nobody removes {', '.join(instances)}.",
        f"Start its agent again, or remove the node: consul force-leave -prune {shlex.quote(node)}",
    )


def _dead(entry: Registered, url: str) -> Finding:
    return warning(
        f"{entry.id} is registered at {entry.address} of this host, where its process is not any more: {entry.fault}.",
        _deregister(entry, url),
    )


def _critical(entry: Registered, url: str) -> Finding:
    output = f": {entry.output.rstrip('.')}" if entry.output else ""
    return warning(
        f"{entry.id} at {entry.address} is critical{output}.",
        "Look at its host. It is removed 60 to 90 s after it became critical; if it is there in two minutes still: "
        f"{_deregister(entry, url)}",
    )


def _deregister(entry: Registered, url: str) -> str:
    if entry.node:
        return removal(url, entry.node)
    return f"consul services deregister -id={shlex.quote(entry.id)}"
