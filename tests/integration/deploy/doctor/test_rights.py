"""Each right that a part needs, missing in a real Consul that checks tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.doctor.findings.rights import Extent, needs
from deploy.doctor.role import Role
from registry.consul.catalog import Checks
from registry.consul.registration.catalog_registrar import CatalogRegistrar
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance, RegisterAt
from tests.support.lookups.doctor_run import doctor_findings, faults
from tests.support.servers.protected_consul import ProtectedConsul

EXTENT = Extent(
    list(Role),
    "cats",
    asks_agent=True,
    checks_tickets=True,
    signs_tickets=True,
    in_catalogue=True,
    checked_services=("cats",),
)
NEEDS = [need for need in needs(EXTENT) if need.role is not Role.CLIENT]


@pytest.fixture(scope="module")
def protected(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProtectedConsul]:
    consul = ProtectedConsul(consul_binary, tmp_path_factory.mktemp("consul"))
    consul.start()
    asyncio.run(register_in_catalogue(consul))
    yield consul
    consul.stop()


async def register_in_catalogue(consul: ProtectedConsul) -> None:
    """A worker that a lookup service has to check."""
    registrar = CatalogRegistrar(ConsulSettings(url=consul.url, token=consul.management))
    worker = Instance("cats", "cats-10.0.0.5-9001", "10.0.0.5", 9001)
    await registrar.register(worker, Checks("http://10.0.0.5:9001/healthz"))
    await registrar.close()


async def rights(consul: ProtectedConsul, role: Role | None, rules: list[str], tmp_path: Path) -> list[tuple[str, str]]:
    """What is wrong with a token with these rules."""
    found = await doctor_findings(
        consul.url,
        token=consul.token(" ".join(rules)),
        asked_role=role,
        service="cats",
        host="0.0.0.0",
        ticket_keys=tmp_path / "keys",
        require_ticket=True,
        register=RegisterAt.CATALOG,
    )
    return faults(found["rights"])


@pytest.mark.parametrize("role", [Role.WORKER, Role.LOOKUP, Role.OPERATOR])
async def test_the_rules_that_it_names_are_enough(protected: ProtectedConsul, role: Role, tmp_path: Path) -> None:
    """A token with all rules of its role is good, and says nothing of the other roles' either."""
    rules = [need.right.rule for need in NEEDS if need.role is role]
    assert await rights(protected, role, rules, tmp_path) == []
    assert await rights(protected, None, rules, tmp_path) == []


@pytest.mark.parametrize("missing", NEEDS, ids=lambda need: f"{need.role}-{need.right.resource}-{need.right.access}")
async def test_each_missing_right_is_named_as_a_rule(protected: ProtectedConsul, missing, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # of NEEDS
    """One rule less: one error, with that rule and no other."""
    rules = [need.right.rule for need in NEEDS if need.role is missing.role and need is not missing]
    ((level, text),) = await rights(protected, missing.role, rules, tmp_path)
    assert level == "error"
    assert text.endswith(f"Add to its policy: {missing.right.rule}")


async def test_tokens_that_consul_does_not_know_and_none(protected: ProtectedConsul) -> None:
    """An unknown token is an error of its own; without one nothing is allowed here."""
    unknown = "00000000-0000-0000-0000-000000000001"
    found = await doctor_findings(protected.url, token=unknown, asked_role=Role.WORKER)
    assert "ACL not found" in faults(found["consul"])[0][1]
    found = await doctor_findings(protected.url, asked_role=Role.WORKER)
    assert "may not register classify" in faults(found["rights"])[0][1]


async def test_a_worker_really_needs_no_more(protected: ProtectedConsul, tmp_path: Path) -> None:
    """The rest of the checks goes on with the worker's token, and reports what it may not see as that."""
    token = protected.token('service "classify" { policy = "write" }')
    found = await doctor_findings(protected.url, token=token, asked_role=Role.WORKER, cache=tmp_path)
    assert {name: faults(findings) for name, findings in found.items() if name != "lookup"} == {
        name: [] for name in found if name != "lookup"
    }
