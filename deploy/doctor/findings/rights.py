"""Which rights each part needs in a Consul that checks tokens, and what it means that one is missing. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from deploy.doctor.finding import Finding, error, ok, warning
from deploy.doctor.role import Role
from registry.consul.registration.catalog_names import LOCK_KEY, NODE_PREFIX
from registry.consul.right import Right
from registry.rollout.record import PREFIX as ROLLOUTS
from registry.security.tickets.public_key import PREFIX

READ, WRITE = "read", "write"

_OUR_NODES = Right("node", WRITE, NODE_PREFIX, prefix=True)


@dataclass(frozen=True, slots=True)
class Need:
    """A right that a part needs, and what for."""

    role: Role
    right: Right
    purpose: str


@dataclass(frozen=True, slots=True)
class RightsFacts:
    """Which of the rights the token has; `unchecked`: Consul checks no tokens. `trouble`: why it does not say."""

    allowed: Mapping[Right, bool]
    unchecked: bool = False
    trouble: str = ""
    unknown_token: bool = False


@dataclass(frozen=True, slots=True)
class Extent:
    """What decides on the needed rights: the roles, the worker's service, and which features are used.

    `asks_agent`: a worker here asks the agent for its address. `without_lookup`: clients ask Consul themselves.
    `in_catalogue`: a worker here registers in the catalogue; `checked_services` are those of the workers there, which a
    lookup service checks.
    """

    roles: Collection[Role]
    service: str
    asks_agent: bool = False
    checks_tickets: bool = False
    signs_tickets: bool = False
    without_lookup: bool = False
    in_catalogue: bool = False
    checked_services: Collection[str] = ()


def needs(extent: Extent) -> Sequence[Need]:
    """What the roles need."""
    found = [
        Need(Role.WORKER, Right("service", WRITE, extent.service), f"register {extent.service}"),
        Need(Role.LOOKUP, Right("service", READ, ""), "see services"),
        Need(Role.LOOKUP, Right("node", READ, ""), "see the instances of services"),
        Need(Role.LOOKUP, Right("key", READ, ROLLOUTS), "follow splits among versions"),
        Need(Role.OPERATOR, Right("service", WRITE, ""), "set maintenance and remove leftovers"),
        Need(Role.OPERATOR, Right("node", READ, ""), "see the instances of services"),
        Need(Role.OPERATOR, Right("key", WRITE, PREFIX), "rotate and revoke ticket keys"),
        Need(Role.OPERATOR, Right("key", WRITE, ROLLOUTS), "split calls among versions"),
    ]
    if extent.asks_agent:
        found.append(Need(Role.WORKER, Right("agent", READ, ""), "learn the address to advertise"))
    if extent.checks_tickets:
        found.append(Need(Role.WORKER, Right("key", READ, PREFIX), "learn the keys of tickets"))
    if extent.signs_tickets:
        found.append(Need(Role.LOOKUP, Right("key", WRITE, PREFIX), "publish ticket keys"))
    if extent.in_catalogue:
        found.append(Need(Role.WORKER, _OUR_NODES, "write its own node in the catalogue"))
    if extent.checked_services:
        found += _to_check(extent.checked_services)
    if extent.without_lookup:
        found += [Need(Role.CLIENT, Right(what, READ, ""), "find workers") for what in ("service", "node")]
    return [need for need in found if need.role in extent.roles]


def _to_check(services: Collection[str]) -> Sequence[Need]:
    """What a lookup service needs in order to check workers of these services in the catalogue."""
    writes = [_OUR_NODES, *(Right("service", WRITE, service) for service in services)]
    lock = [Right("session", WRITE, ""), Right("key", WRITE, LOCK_KEY)]
    return [
        *(Need(Role.LOOKUP, right, "write what it finds of workers in the catalogue") for right in writes),
        *(Need(Role.LOOKUP, right, "take the lock of the process that checks them") for right in lock),
    ]


def findings(facts: RightsFacts, needed: Sequence[Need], *, asked: bool) -> list[Finding]:
    """What the token lacks: an error for the role that was asked about, and where the token is good for no role."""
    if facts.unchecked:
        return [ok("Consul checks no tokens: everybody may do everything.")]
    if facts.unknown_token:
        return [error("Consul does not know the token in CONSUL_HTTP_TOKEN.", "Give one that exists, or none.")]
    if facts.trouble:
        return [warning(f"Consul does not say what the token may do: {facts.trouble}", "Try with Consul 1.8 or newer.")]
    lacking = {role: _lacking(role, facts, needed) for role in dict.fromkeys(need.role for need in needed)}
    good = [role for role, missing in lacking.items() if not missing]
    found = [ok(f"The token may do what {role.noun} needs.") for role in good]
    for role, missing in lacking.items():
        if not missing:
            continue
        purposes = " and ".join(dict.fromkeys(need.purpose for need in missing))
        what = f"The token may not {purposes}, as {role.noun} must"
        rules = " ".join(dict.fromkeys(need.right.rule for need in missing))
        if asked or not good:
            found.append(error(f"{what}.", f"Add to its policy: {rules}"))
        else:
            found.append(ok(f"{what}; that is right unless this host has that role. It would take: {rules}"))
    return found


def _lacking(role: Role, facts: RightsFacts, needed: Sequence[Need]) -> Sequence[Need]:
    return [need for need in needed if need.role is role and not facts.allowed.get(need.right, False)]
