"""Which rights each role needs, and what it means that one is missing."""

from __future__ import annotations

import pytest

from deploy.doctor.finding import Level, worst
from deploy.doctor.findings.rights import Extent, RightsFacts, findings, needs
from deploy.doctor.role import Role
from registry.consul.right import Right

ALL = needs(
    Extent(
        list(Role),
        "cats",
        asks_agent=True,
        checks_tickets=True,
        signs_tickets=True,
        without_lookup=True,
        in_catalogue=True,
        checked_services=("cats",),
    )
)


def facts(*, lacking: object = None) -> RightsFacts:
    return RightsFacts({need.right: need.right != lacking for need in ALL})


def test_all_rights_are_those_of_the_guide() -> None:
    """As docs/guide/consul.md lists them, a rule for each."""
    rules = {role: [need.right.rule for need in ALL if need.role is role] for role in Role}
    keys = 'key_prefix "p2p-serving/ticket-keys/" { policy = "%s" }'
    rollouts = 'key_prefix "p2p-serving/rollouts/" { policy = "%s" }'
    read = ['service_prefix "" { policy = "read" }', 'node_prefix "" { policy = "read" }']
    assert rules == {
        Role.WORKER: [
            'service "cats" { policy = "write" }', 'agent_prefix "" { policy = "read" }', keys % "read",
            'node_prefix "p2p-" { policy = "write" }',
        ],
        Role.LOOKUP: [
            *read, rollouts % "read", keys % "write",
            'node_prefix "p2p-" { policy = "write" }', 'service "cats" { policy = "write" }',
            'session_prefix "" { policy = "write" }', 'key "p2p-serving/catalog-checks/leader" { policy = "write" }',
        ],
        Role.OPERATOR: ['service_prefix "" { policy = "write" }', read[1], keys % "write", rollouts % "write"],
        Role.CLIENT: read,
    }  # fmt: skip


@pytest.mark.parametrize("need", ALL, ids=lambda need: f"{need.role}-{need.right.resource}")
def test_each_missing_right_is_an_error_with_its_rule(need) -> None:  # type: ignore[no-untyped-def]  # of ALL
    """For the role that was asked about; the cure is the rule to add."""
    needed = [each for each in ALL if each.role is need.role]
    (broken,) = [f for f in findings(facts(lacking=need.right), needed, asked=True) if f.level is Level.ERROR]
    assert need.purpose in broken.what
    assert need.right.rule in broken.cure


def test_a_token_of_one_part_is_fine_where_no_role_was_asked_about() -> None:
    """A worker's token is no lookup service's; a token that is good for nothing is an error."""
    of_worker = {need.right for need in ALL if need.role is Role.WORKER}
    worker = {need.right: need.right in of_worker for need in ALL}
    assert worst(findings(RightsFacts(worker), ALL, asked=False)) is Level.OK
    assert worst(findings(RightsFacts(dict.fromkeys(worker, False)), ALL, asked=False)) is Level.ERROR


@pytest.mark.parametrize(
    ("said", "level"),
    [
        (RightsFacts({}, unchecked=True), Level.OK),
        (RightsFacts({}, unknown_token=True, trouble="ACL not found"), Level.ERROR),
        (RightsFacts({}, trouble="Endpoint is blocked"), Level.WARNING),
    ],
)
def test_where_consul_does_not_say(said: RightsFacts, level: Level) -> None:
    """It checks no tokens, does not know this one, or cannot be asked."""
    assert worst(findings(said, ALL, asked=True)) is level


def test_a_right_to_a_name_is_written_without_prefix() -> None:
    """Rules are those of Consul's policies."""
    assert Right("node", "read", "n1").rule == 'node "n1" { policy = "read" }'
