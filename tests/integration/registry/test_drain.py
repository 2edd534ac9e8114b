"""`p2p drain` and `p2p undrain` over a real Consul, beside a lookup service that follows it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from registry.catalog_checks.leader import checking_catalog
from registry.consul.catalog import Catalog, Checks
from registry.consul.registration.catalog_registrar import CatalogRegistrar
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Health, Instance
from registry.runtime.tls.trust import TrustFiles
from registry.server import RunningRegistry, running
from registry.settings import RegistrySettings
from tests.support.cluster import rights
from tests.support.command_process import command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until

# Consul checks itself: a health path that is always there.
CHECKS = "/v1/status/leader"


@pytest.fixture
async def registry(consul: ConsulProcess) -> AsyncIterator[RunningRegistry]:
    """A lookup service with two registered workers, on ports 9001 and 9002."""
    settings = ConsulSettings(url=consul.url)
    catalog = Catalog(settings)
    async with running(RegistrySettings(backend=settings, port=0, service="cats")) as registry:
        for port in (9001, 9002):
            await catalog.register(
                Instance("cats", f"cats-127.0.0.1-{port}", "127.0.0.1", port), Checks(consul.url + CHECKS)
            )
        await handed_out(registry, 2)
        yield registry
    await catalog.close()


async def handed_out(registry: RunningRegistry, count: int) -> None:
    service = registry.directory.followed("cats")
    assert service is not None, "it is the default"
    await until(lambda: len(service.rotation()) == count)


async def p2p(*arguments: str, consul: str, token: str = "") -> tuple[int, str]:
    """The exit code and the output of a command that uses the Consul at that URL."""
    async with command(*arguments, environ={"CONSUL_HTTP_ADDR": consul, "CONSUL_HTTP_TOKEN": token}) as running_command:
        code = await running_command.ended()
    return code, running_command.output


async def get(registry: RunningRegistry, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(registry.url + path) as answer:
        return await answer.text()


async def test_a_drained_worker_is_not_handed_out_until_it_is_undrained(
    registry: RunningRegistry, consul: ConsulProcess
) -> None:
    """Drain by address, a second one by id; the reason stands in /instances, status and the 503; undrain restores."""
    code, said = await p2p("drain", "localhost:9001", "--reason", "GPU swap", consul=consul.url)
    assert (code, said) == (
        0,
        "cats-127.0.0.1-9001 (127.0.0.1:9001) is drained: new requests go to others (GPU swap).",
    )
    await handed_out(registry, 1)
    assert [await get(registry, "/next") for _ in range(3)] == ["127.0.0.1:9002\n"] * 3
    assert '"health": "maintenance", "output": "GPU swap"' in await get(registry, "/instances/cats")
    code, said = await p2p("status", "--registry", registry.url, consul=consul.url)
    assert "maintenance: GPU swap" in said
    await p2p("drain", "cats-127.0.0.1-9002", consul=consul.url)
    await handed_out(registry, 0)
    sentence = "No healthy worker of cats right now: all 2 are in maintenance (GPU swap; drained by an operator).\n"
    assert await get(registry, "/next") == sentence
    for target in ("127.0.0.1:9001", "cats-127.0.0.1-9002"):
        code, said = await p2p("undrain", target, consul=consul.url)
        assert code == 0
        assert said.endswith("is handed out again once its checks pass.")
    await handed_out(registry, 2)


async def test_a_drain_survives_the_agent_and_the_heartbeats(registry: RunningRegistry, consul: ConsulProcess) -> None:
    """An agent that restarts still has the maintenance, and a registration that is repeated does not end it."""
    await p2p("drain", "127.0.0.1:9001", consul=consul.url)
    catalog = Catalog(ConsulSettings(url=consul.url))
    await catalog.register(Instance("cats", "cats-127.0.0.1-9001", "127.0.0.1", 9001), Checks(consul.url + CHECKS))
    consul.stop()
    consul.start()
    answer = await catalog.health("cats")
    await catalog.close()
    assert [instance.health for instance in answer.instances if instance.port == 9001] == ["maintenance"]


async def test_what_is_not_registered_here_is_said(registry: RunningRegistry, consul: ConsulProcess) -> None:
    """Nothing of the name, or another agent's: one sentence, exit code 1, and the command that would do it."""
    code, said = await p2p("drain", "127.0.0.1:9003", consul=consul.url)
    assert (code, said) == (
        1,
        "error: Nothing is registered as '127.0.0.1:9003', as far as the token may read: give an id or a host:port "
        "that p2p status --json shows.",
    )
    nowhere = f"http://127.0.0.1:{free_port()}"
    code, said = await p2p("drain", "127.0.0.1:9001", consul=nowhere)
    assert code == 1
    assert said.startswith(f"error: Consul at {nowhere} did not answer")
    catalogued = {
        "Node": "far",
        "Address": "10.0.0.5",
        "Service": {"ID": "cats-far", "Service": "cats", "Tags": ["p2p"], "Address": "10.0.0.5", "Port": 9001},
    }
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"{consul.url}/v1/catalog/register", json=catalogued) as answer,
    ):
        assert answer.status == 200
    code, said = await p2p("drain", "10.0.0.5:9001", consul=consul.url)
    port = consul.url.rpartition(":")[2]
    assert (code, said) == (
        1,
        "error: cats-far is registered with the agent on node far, and only that agent can change it: run the command "
        f"there, or add --consul http://10.0.0.5:{port} if that agent listens there.",
    )


def in_catalogue(port: int) -> Instance:
    return Instance("cats", f"cats-10.0.0.5-{port}", "127.0.0.1", port, boot="boot1")


@pytest.fixture
async def registrar(consul: ConsulProcess) -> AsyncIterator[CatalogRegistrar]:
    registrar = CatalogRegistrar(ConsulSettings(url=consul.url))
    yield registrar
    await registrar.close()


async def test_a_worker_in_the_catalogue_is_drained(
    registry: RunningRegistry, consul: ConsulProcess, registrar: CatalogRegistrar
) -> None:
    """No agent keeps it, so any agent will do; the drain outlives registrations, by the same process and the next."""
    worker, checks = in_catalogue(9003), Checks(consul.url + CHECKS)
    await registrar.register(worker, checks)
    await handed_out(registry, 3)
    code, said = await p2p("drain", "127.0.0.1:9003", "--reason", "GPU swap", consul=consul.url)
    assert (code, said) == (
        0,
        "cats-10.0.0.5-9003 (127.0.0.1:9003) is drained: new requests go to others (GPU swap).",
    )
    await handed_out(registry, 2)
    for changed in (replace(worker, version="2"), replace(worker, boot="boot2")):
        await registrar.register(changed, checks)
        await registrar.heartbeat(worker.id)
    assert '"health": "maintenance", "output": "GPU swap"' in await get(registry, "/instances/cats")
    for _ in range(2):  # ending what has ended is no error
        assert (await p2p("undrain", worker.id, consul=consul.url))[0] == 0
    await handed_out(registry, 3)


async def test_the_checks_keep_a_drain(
    consul: ConsulProcess, registrar: CatalogRegistrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that checks the catalogue writes what it finds of a drained worker, and removes it when undrained."""
    monkeypatch.setattr("registry.catalog_checks.runner.CHECK_INTERVAL_S", 0.05)
    monkeypatch.setattr("registry.catalog_checks.verdict.REMOVE_AFTER_S", 0.0)
    settings = ConsulSettings(url=consul.url)
    drained, other = in_catalogue(free_port()), in_catalogue(free_port())
    catalog = Catalog(settings)

    async def instances() -> list[tuple[int, Health]]:
        return [(each.port, each.health) for each in (await catalog.health("cats")).instances]

    async def only_the_drained_one() -> bool:
        return await instances() == [(drained.port, Health.MAINTENANCE)]

    async def its_check_fails() -> bool:
        return await registrar.failing_check(drained.id) is not None

    async def none() -> bool:
        return not await instances()

    for worker in (drained, other):
        await registrar.register(worker, Checks(f"{worker.origin}/healthz"))
    await p2p("drain", drained.id, consul=consul.url)
    async with checking_catalog(settings, TrustFiles()):
        await until(only_the_drained_one)
        await until(its_check_fails)
        assert await only_the_drained_one()
        await p2p("undrain", drained.id, consul=consul.url)
        await until(none)
    await catalog.close()


async def drain_in_catalogue(consul: ConsulProcess) -> None:
    """An operator's rights are enough for a worker in the catalogue: service:write, and node:read to find it."""
    registrar = CatalogRegistrar(ConsulSettings(url=consul.url, token=consul.new_token(rights.CATALOG_WORKER)))
    operator = consul.new_token(rights.OPERATOR)
    await registrar.register(Instance("apart", "apart-1", "127.0.0.1", 9002), Checks(consul.url + CHECKS))
    await registrar.close()
    for command_name in ("drain", "undrain"):
        code, said = await p2p(command_name, "apart-1", consul=consul.url, token=operator)
        assert (code, said[:25]) == (0, "apart-1 (127.0.0.1:9002) ")


async def test_the_token_decides(consul_binary: Path, tmp_path: Path) -> None:
    """In a Consul that denies by default: service:write on the service is enough, less is refused with a sentence."""
    consul = ConsulProcess(consul_binary, tmp_path, management=str(uuid.uuid4()))
    consul.start()
    try:
        write, read, none = map(
            consul.new_token, ('service "cats" { policy = "write" }', rights.LOOKUP, rights.STRANGER)
        )
        catalog = Catalog(ConsulSettings(url=consul.url, token=write))
        await catalog.register(Instance("cats", "cats-1", "127.0.0.1", 9001), Checks(consul.url + CHECKS))
        await catalog.close()
        for command_name in ("drain", "undrain"):
            code, said = await p2p(command_name, "cats-1", consul=consul.url, token=write)
            assert (code, said[:24]) == (0, "cats-1 (127.0.0.1:9001) ")
        await drain_in_catalogue(consul)
        code, said = await p2p("drain", "cats-1", consul=consul.url, token=read)
        assert code == 1
        assert "Give a token with the right to do this in CONSUL_HTTP_TOKEN." in said
        code, said = await p2p("drain", "cats-1", consul=consul.url, token=none)
        assert (code, said[:64]) == (1, "error: Nothing is registered as 'cats-1', as far as the token ma")
    finally:
        consul.stop()
