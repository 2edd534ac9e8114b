"""Each policy of deploy/consul/policies is least: what its part does works with it, and not without any single rule."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from registry.consul.catalog import Catalog, Checks
from registry.consul.errors import ConsulRefused
from registry.consul.key_value import KeyValue
from registry.instances.instance import Instance
from registry.rollout.record import PREFIX, Rollout
from registry.rollout.record_store import RecordStore
from registry.security.tickets.key_folder import new_key
from registry.security.tickets.public_key import PREFIX as KEYS_PREFIX
from registry.security.tickets.signing_keys import publish, withdraw
from tests.support.servers.deployed_consul import FILES, DeployedConsul
from tests.support.waiting import until

POLICIES = FILES / "policies"
ALL = tuple(path.stem for path in sorted(POLICIES.glob("*.hcl")))

Work = Callable[[DeployedConsul, str, Path], Awaitable[bool]]
"""Does with a token (its secret) what a part does; whether that worked. The path is a folder for what it makes."""


def rules_of(policy: str) -> list[str]:
    """The rules of a policy, one a line, without the comments."""
    lines = (POLICIES / f"{policy}.hcl").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def instance(port: int = 9001) -> Instance:
    return Instance(service="classify", id=f"classify-{port}", host="127.0.0.1", port=port, boot=uuid.uuid4().hex)


async def registers(consul: DeployedConsul, token: str, folder: Path) -> bool:
    catalog = Catalog(consul.settings(token=token))
    try:
        await catalog.register(instance(), Checks(health_url="http://127.0.0.1:9/healthz"))
        await catalog.heartbeat("classify-9001")
        await catalog.deregister("classify-9001")
    except ConsulRefused:
        return False
    finally:
        await catalog.close()
    return True


async def asks_for_the_address(consul: DeployedConsul, token: str, folder: Path) -> bool:
    catalog = Catalog(consul.settings(token=token))
    try:
        return await catalog.agent_address() == consul.addresses["c1"]
    except ConsulRefused:
        return False
    finally:
        await catalog.close()


async def lists_services(consul: DeployedConsul, token: str, folder: Path) -> bool:
    catalog = Catalog(consul.settings(token=token))
    try:
        return "classify" in (await catalog.services())[1]
    finally:
        await catalog.close()


async def sees_instances(consul: DeployedConsul, token: str, folder: Path) -> bool:
    catalog = Catalog(consul.settings(token=token))
    try:
        return "standing" in {found.id for found in (await catalog.health("classify")).instances}
    finally:
        await catalog.close()


async def names_datacenter_and_node(consul: DeployedConsul, token: str, folder: Path) -> bool:
    catalog = Catalog(consul.settings(token=token))
    try:
        return bool(await catalog.datacenter()) and await catalog.node_name() == "c1"
    except ConsulRefused:
        return False
    finally:
        await catalog.close()


async def publishes_a_ticket_key(consul: DeployedConsul, token: str, folder: Path) -> bool:
    store, key = KeyValue(consul.settings(token=token)), new_key(time.time())
    try:
        await publish(store, key)
        await withdraw(store, key.key_id, time.time())
    except ConsulRefused:
        return False
    finally:
        await store.close()
    return True


async def reads_ticket_keys(consul: DeployedConsul, token: str, folder: Path) -> bool:
    """Whether it sees the keys, of which there is one; who may not read is shown none, or refused."""
    assert await publishes_a_ticket_key(consul, "management", folder)
    store = KeyValue(consul.settings(token=token))
    try:
        return bool((await store.under(KEYS_PREFIX, index=0)).values)
    except ConsulRefused:
        return False
    finally:
        await store.close()


async def takes_out_and_back(consul: DeployedConsul, token: str, folder: Path) -> bool:
    enabled = consul.run("maint", "-enable", "-service=standing", "-reason=test", token=token)
    disabled = consul.run("maint", "-disable", "-service=standing", token=token)
    return (enabled.returncode, disabled.returncode) == (0, 0)


async def sees_members(consul: DeployedConsul, token: str, folder: Path) -> bool:
    return "c1" in consul.run("members", token=token).stdout


async def sees_the_voters(consul: DeployedConsul, token: str, folder: Path) -> bool:
    return consul.run("operator", "raft", "list-peers", token=token).returncode == 0


async def saves_a_snapshot(consul: DeployedConsul, token: str, folder: Path) -> bool:
    return consul.run("snapshot", "save", "-stale", str(folder / "state.snap"), token=token).returncode == 0


async def reads_rollouts(consul: DeployedConsul, token: str, folder: Path) -> bool:
    store = KeyValue(consul.settings(token=token))
    try:
        return not (await store.under(PREFIX)).missing
    except ConsulRefused:
        return False
    finally:
        await store.close()


async def splits_calls(consul: DeployedConsul, token: str, folder: Path) -> bool:
    store = KeyValue(consul.settings(token=token))
    records = RecordStore(store, "classify")
    try:
        await records.replace(await records.load(), Rollout({"3": 1}))
    except ConsulRefused:
        return False
    finally:
        await store.close()
    return True


@pytest.mark.usefixtures("standing")
async def test_who_has_no_token_registers_nothing(deployed: DeployedConsul) -> None:
    """A request without a token sees and writes the agent's own node, and does or sees nothing else."""
    for work in (registers, sees_the_voters, takes_out_and_back, saves_a_snapshot):
        assert not await work(deployed, "", Path("/nonexistent")), work
    for work in (lists_services, sees_instances):
        assert not await work(deployed, "", Path()), work


NEEDED: tuple[tuple[str, str, Work], ...] = (
    ("worker", 'service "classify" { policy = "write" }', registers),
    ("worker", 'agent_prefix "" { policy = "read" }', asks_for_the_address),
    ("worker", 'key_prefix "p2p-serving/ticket-keys/" { policy = "read" }', reads_ticket_keys),
    ("lookup", 'service_prefix "" { policy = "read" }', lists_services),
    ("lookup", 'node_prefix "" { policy = "read" }', sees_instances),
    ("lookup", 'agent_prefix "" { policy = "read" }', names_datacenter_and_node),
    ("lookup", 'key_prefix "p2p-serving/ticket-keys/" { policy = "write" }', publishes_a_ticket_key),
    ("lookup", 'key_prefix "p2p-serving/rollouts/" { policy = "read" }', reads_rollouts),
    ("operator", 'service_prefix "" { policy = "write" }', takes_out_and_back),
    ("operator", 'node_prefix "" { policy = "read" }', sees_members),
    ("operator", 'operator = "read"', sees_the_voters),
    ("operator", 'key_prefix "p2p-serving/rollouts/" { policy = "write" }', splits_calls),
    ("snapshot", 'acl = "write"', saves_a_snapshot),
)
"""The policy, one of its rules, and what does not work without that rule."""


@pytest.fixture
async def standing(deployed: DeployedConsul) -> None:
    """An instance that is registered all the while, in the catalogue of the servers."""
    catalog = Catalog(deployed.settings(token="management"))
    standing = Instance(service="classify", id="standing", host="127.0.0.1", port=9000)
    await catalog.register(standing, Checks(health_url="http://127.0.0.1:9/healthz"))

    async def in_catalogue() -> bool:
        return bool((await catalog.health("classify")).instances)

    await until(in_catalogue)
    await catalog.close()


@pytest.fixture
async def split(deployed: DeployedConsul) -> None:
    """A record of a roll-out that is there all the while."""
    assert await splits_calls(deployed, deployed.secret("management"), Path())


@pytest.mark.usefixtures("standing", "split")
@pytest.mark.parametrize(("policy", "rule", "work"), NEEDED, ids=lambda value: getattr(value, "__name__", value))
async def test_every_rule_is_needed(
    deployed: DeployedConsul, tmp_path: Path, policy: str, rule: str, work: Work
) -> None:
    """With the token that bootstrap.sh made it works; with all rules but this one it does not."""
    others = [other for other in rules_of(policy) if other != rule]
    await until(lambda: work(deployed, deployed.secret(policy), tmp_path))
    assert not await work(deployed, deployed.token_with("\n".join(others) or 'key "x" { policy = "read" }'), tmp_path)


def log_since_start(deployed: DeployedConsul) -> str:
    return deployed.log("c1").rpartition("==> Starting Consul agent")[2]


NO_RIGHT = 'key "x" { policy = "read" }'


def restart_without_data(deployed: DeployedConsul, *, agent: str, default: str, forgotten: bool = False) -> None:
    """The agent comes back with these rights and without its data, as after a reinstallation of its host.

    `default`: the rights of its default token. `forgotten`: its node has been taken out of the catalogue meanwhile.
    """
    deployed.change_policy("p2p-agent-c1", agent.replace("NAME", "c1"))
    deployed.change_policy("p2p-agent-default-c1", default.replace("NAME", "c1"))
    deployed.stop("c1", kill=True)
    deployed.wipe("c1")
    if forgotten:
        deployed.forget_node("c1")
    deployed.start("c1")


async def test_an_agent_needs_its_node(deployed: DeployedConsul) -> None:
    """An agent that may not write its node cannot bring the catalogue up to date; with both rules it does."""
    node, services = rules_of("agent")
    (default,) = rules_of("agent-default")
    restart_without_data(deployed, agent=services, default=default, forgotten=True)
    # Its node's entry, or its coordinates where the servers have brought the node back meanwhile.
    await until(lambda: "blocked by ACLs" in log_since_start(deployed), within_s=60)
    restart_without_data(deployed, agent=f"{node}\n{services}", default=default)
    await until(lambda: "Synced node info" in log_since_start(deployed), within_s=60)
    assert "blocked by ACLs" not in log_since_start(deployed)


@pytest.mark.usefixtures("standing")
@pytest.mark.parametrize("without", ["agent's service:read", "default token's node:write"])
async def test_an_agent_removes_what_it_has_lost(deployed: DeployedConsul, without: str) -> None:
    """It must see the services that it no longer has, by its own token, and remove them, by the default one.

    That is so in Consul before 1.10. With all rules it works, and not without either.
    """
    node, services = rules_of("agent")
    (default,) = rules_of("agent-default")
    blind = without == "agent's service:read"
    restart_without_data(
        deployed, agent=node if blind else f"{node}\n{services}", default=NO_RIGHT if not blind else default
    )
    await until(lambda: "Synced node info" in log_since_start(deployed), within_s=60)
    assert await sees_instances(deployed, deployed.secret("lookup"), Path())
    restart_without_data(deployed, agent=f"{node}\n{services}", default=default)

    async def gone() -> bool:
        return not await sees_instances(deployed, deployed.secret("lookup"), Path())

    await until(gone, within_s=60, every_s=0.2)


def test_the_table_has_every_rule() -> None:
    """A rule that is added to a policy needs a line in the table, which says what it is for."""
    assert {(policy, rule) for policy, rule, _ in NEEDED} == {
        (policy, rule) for policy in ALL if not policy.startswith("agent") for rule in rules_of(policy)
    }
    assert (len(rules_of("agent")), len(rules_of("agent-default"))) == (2, 1)
