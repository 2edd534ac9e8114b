"""What is known of the workers in the catalogue, and of the lookup service that checks them, means. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.doctor.finding import Finding, error, ok, warning


@dataclass(frozen=True, slots=True)
class CatalogueFacts:
    """The workers that are registered in the catalogue, under nodes of their own, as far as the token may see them.

    `services` are theirs; `unchecked` are nodes of ours on which no health path is to be checked; `failing` are ids of
    workers that an operator has drained and that fail their checks. `checker` is the node at whose agent the lookup
    service that checks them has its session: "" where none does, None where the token may not read that.
    """

    workers: int
    services: Sequence[str] = ()
    unchecked: Sequence[str] = ()
    failing: Sequence[str] = ()
    checker: str | None = None


def findings(facts: CatalogueFacts, *, url: str, lookup: bool) -> list[Finding]:
    """Somebody checks the workers, and no node is left over. `lookup`: a lookup service is what was asked about."""
    found = [_checked(facts, lookup=lookup)] if facts.workers else []
    found += [
        warning(f"Nothing on the node {node} is checked, so nobody removes it.", removal(url, node))
        for node in facts.unchecked
    ]
    return found + [
        warning(
            f"{instance} is drained and fails its checks; a drained worker is not removed.",
            f"If it is gone for good: p2p undrain {shlex.quote(instance)}",
        )
        for instance in facts.failing
    ]


def _checked(facts: CatalogueFacts, *, lookup: bool) -> Finding:
    counted = f"{facts.workers} worker{'s' if facts.workers > 1 else ''} in the catalogue"
    if facts.checker is None:
        return ok(f"Whether a lookup service checks the {counted} needs key:read and session:read to be seen.")
    if facts.checker:
        return ok(f"A lookup service beside the agent of {facts.checker} checks the {counted}.")
    return (error if lookup else warning)(
        f"No lookup service checks the {counted}: one that is killed stays in the rotation.",
        "Start p2p registry, with a token that has the rights which p2p doctor --role lookup names. Where a lookup "
        "service was killed, another one takes over within 20 s.",
    )


def removal(url: str, node: str) -> str:
    """The command that removes a node of the catalogue which no agent stands for."""
    body = shlex.quote(json.dumps({"Node": node}))
    header = '-H "X-Consul-Token: $CONSUL_HTTP_TOKEN"'
    return f"curl -X PUT {header} -d {body} {url}/v1/catalog/deregister"
