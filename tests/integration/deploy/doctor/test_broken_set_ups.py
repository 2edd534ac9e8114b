"""A broken set-up of each kind, with a real Consul: what `p2p doctor` finds, and the cure that it names."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from deploy.doctor.role import Role
from registry.consul.catalog import Catalog, Checks
from registry.consul.key_value import KeyValue
from registry.consul.registration.catalog_checks import CatalogChecks
from registry.consul.registration.catalog_registrar import CatalogRegistrar
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Health, Instance
from registry.runtime.tls.server import TlsFiles
from registry.runtime.tls.trust import TrustFiles
from registry.security.access_settings import AccessSettings
from registry.security.tickets.key_folder import KeyFolder, new_key
from registry.security.tickets.signing_keys import publish, withdraw
from registry.server import running
from registry.settings import RegistrySettings
from tests.support.command_process import command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.lookups.doctor_run import doctor_findings, faults
from tests.support.security.certificates import Authority
from tests.support.waiting import until
from tests.support.workers.echo_worker import echo_worker


@asynccontextmanager
async def lookup_service(consul: ConsulProcess, *, tokens: Path | None = None) -> AsyncIterator[str]:
    access = AccessSettings(tokens)
    settings = RegistrySettings(backend=ConsulSettings(url=consul.url), port=0, service="echo", access=access)
    async with running(settings) as registry:
        yield registry.url


@asynccontextmanager
async def registered(consul: ConsulProcess, *instances: Instance, checks: Checks) -> AsyncIterator[Catalog]:
    catalog = Catalog(ConsulSettings(url=consul.url))
    for instance in instances:
        await catalog.register(instance, checks)
    yield catalog
    for instance in instances:
        await catalog.deregister(instance.id)
    await catalog.close()


async def test_all_is_well(shared_consul: ConsulProcess, tmp_path: Path) -> None:
    """A worker and a lookup service that run: nothing is wrong, and exit code 0, in all roles and each."""
    async with lookup_service(shared_consul) as url, echo_worker(shared_consul.url) as worker:
        port = worker.running.instance.port
        found = await doctor_findings(shared_consul.url, lookups=(url,), service="echo", port=port, cache=tmp_path)
        assert {name: faults(findings) for name, findings in found.items()} == {name: [] for name in found}
        assert "reaches 1 of the 1" in found["address"][1].what
        assert "which runs" in found["ports"][1].what
        flags = ("--registry", url, "--consul", shared_consul.url, "--service", "echo", "--json")
        for role in Role:
            async with command("doctor", "--role", role, *flags) as doctor:
                assert await doctor.ended() == 0, doctor.output
        (line,) = doctor.lines
        assert json.loads(line)["errors"] == 0


async def test_nothing_runs(tmp_path: Path) -> None:
    """Consul first, for that is to be mended first; what needs it is not asked."""
    found = await doctor_findings(f"http://127.0.0.1:{free_port()}", cache=tmp_path)
    ((level, text),) = faults(found["consul"])
    assert (level, "Start Consul's agent" in text) == ("error", True)
    assert not found.keys() & {"rights", "leftovers"}
    ((level, text),) = faults(found["lookup"])
    assert (level, "connection refused" in text) == ("warning", True)
    async with command("doctor", "--role", "client", environ={"P2P_REGISTRY": f"127.0.0.1:{free_port()}"}) as doctor:
        assert await doctor.ended() == 2
    assert "Cure: Start it there" in doctor.output


async def test_exit_code_1_is_for_warnings(shared_consul: ConsulProcess) -> None:
    """Without a lookup service, and with no role named, there is one warning."""
    flags = ("--consul", shared_consul.url, "--registry", f"127.0.0.1:{free_port()}")
    async with command("doctor", *flags) as doctor:
        assert await doctor.ended() == 1, doctor.output
    assert doctor.lines[-1] == "1 warning: mend the first one first."


async def test_a_consul_without_a_leader(consul_binary: Path, tmp_path: Path) -> None:
    """One of three servers, alone: it answers, and knows no leader."""
    hurried = {"rpc_hold_timeout": "500ms"}  # for which it waits for a leader, before it says that there is none
    consul = ConsulProcess(consul_binary, tmp_path, bootstrap_expect=3, performance=hurried)
    consul._wait_until_ready = lambda: True  # type: ignore[method-assign]  # it never will be
    consul.start()
    try:

        async def leaderless() -> bool:
            found = await doctor_findings(consul.url, asked_role=Role.OPERATOR)
            return "knows no leader" in str(faults(found["consul"]))

        await until(leaderless, within_s=60)
    finally:
        consul.kill()


@pytest.mark.parametrize(("ahead_s", "level"), [(600, "error"), (-12, "warning")])
async def test_a_clock_that_is_wrong(ahead_s: float, level: str) -> None:
    """That of the lookup service's host, by the Date of its answers."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response([], headers={"Date": formatdate(time.time() + ahead_s, usegmt=True)})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    found = await doctor_findings("http://127.0.0.1:1", lookups=(url,), asked_role=Role.CLIENT)
    await runner.cleanup()
    assert [said for said, _ in faults(found["clock"])] == [level]


async def test_a_port_that_another_program_holds(shared_consul: ConsulProcess) -> None:
    """That program is named, with its process."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        async with command("doctor", "--role", "worker", "--port", port, "--consul", shared_consul.url) as doctor:
            assert await doctor.ended() == 2
    assert f"Port {port} on 127.0.0.1 is taken by another program" in " ".join(doctor.output.split())
    assert "It is held by process" in " ".join(doctor.output.split())


async def test_an_address_that_the_lookup_service_does_not_reach(shared_consul: ConsulProcess) -> None:
    """A registration at an address of this host where nobody can connect."""
    port = free_port()
    instance = Instance("echo", "unreachable", "127.0.0.1", port, boot="b")
    checks = Checks(f"{shared_consul.url}/v1/status/leader")  # which passes, as a check from the same host may
    async with lookup_service(shared_consul) as url, registered(shared_consul, instance, checks=checks):
        found = await doctor_findings(shared_consul.url, lookups=(url,), service="echo")
    ((level, text),) = faults(found["address"])
    assert level == "error"
    assert f"cannot reach unreachable at 127.0.0.1:{port}: connection refused" in text
    assert "--advertise" in text


async def test_a_loopback_address_among_several_members(consul_binary: Path, tmp_path: Path) -> None:
    """The sentence with which a worker would refuse it; and a lost node, whose registrations nobody removes."""
    quick = {"gossip_lan": {"probe_interval": "100ms", "probe_timeout": "50ms", "suspicion_mult": 1}}
    server = ConsulProcess(consul_binary, tmp_path / "server", node="server", **quick)
    server.start()
    client = ConsulProcess(consul_binary, tmp_path / "client", node="lost", joins=server, **quick)
    client.start()
    try:
        found = await doctor_findings(server.url, asked_role=Role.WORKER)
        ((level, text),) = faults(found["address"])
        assert (level, "--allow-loopback" in text) == ("error", True)
        found = await doctor_findings(server.url, asked_role=Role.WORKER, allow_loopback=True)
        assert faults(found["address"]) == []

        there = Catalog(ConsulSettings(url=client.url))
        await there.register(Instance("cats", "left-behind", "198.18.0.9", 1), Checks(f"{client.url}/v1/status/leader"))
        await there.close()
        client.kill()

        async def lost() -> bool:
            found = await doctor_findings(server.url, asked_role=Role.OPERATOR)
            return "force-leave -prune lost" in str(faults(found["leftovers"]))

        await until(lost, within_s=60)
    finally:
        client.kill()
        server.kill()


async def test_leftovers_of_processes_that_are_gone(shared_consul: ConsulProcess) -> None:
    """A registration whose port is closed, one whose port another worker has taken over, and one that is critical."""
    async with echo_worker(shared_consul.url) as worker:
        port = worker.running.instance.port
        taken = Instance("echo", "taken-over", "127.0.0.1", port, boot="of-before")
        closed = Instance("echo", "closed", "127.0.0.1", free_port(), boot="b")
        sick = Instance("echo", "sick", "198.18.0.9", 1, boot="b")
        checks = Checks("http://127.0.0.1:1/", interval_s=0.2, ttl_s=None)
        async with registered(shared_consul, taken, closed, sick, checks=checks):

            async def found() -> list[str]:
                findings = (await doctor_findings(shared_consul.url))["leftovers"]
                return sorted(text for _, text in faults(findings) if "sick" in str(findings))

            first, second, third = await until(found, within_s=20)
    assert "nobody listens there" in first
    assert "is critical" in second
    assert "another process has taken the port over" in third
    assert all("consul services deregister -id=" in text for text in (first, second, third))


async def test_workers_in_the_catalogue(consul: ConsulProcess) -> None:
    """A worker that nobody checks; with a lookup service one does; leftovers go by the commands that are named."""
    settings = ConsulSettings(url=consul.url)
    registrar, catalogue = CatalogRegistrar(settings), CatalogChecks(settings)
    worker = Instance("echo", "gone", "127.0.0.1", free_port(), boot="b")
    await registrar.register(worker, Checks(f"{worker.origin}/healthz"))

    async def found(group: str = "catalogue") -> list[tuple[str, str]]:
        return faults((await doctor_findings(consul.url, service="echo")).get(group, []))

    async def checked() -> bool:
        return not await found()

    ((level, text),) = await found()
    assert (level, "No lookup service checks the 1 worker" in text) == ("warning", True)
    ((level, text),) = await found("leftovers")
    assert "nobody listens there" in text
    assert """-d '{"Node": "p2p-gone"}'""" in text
    async with lookup_service(consul):
        await until(checked, within_s=20)
    _, (check,) = await catalogue.all()
    await registrar.maintenance(worker.id, enable=True, reason="disk")
    assert await catalogue.write(check, Health.CRITICAL, "connection refused")
    assert "gone is drained and fails its checks" in str(await found())
    await remove(consul, {"Node": "p2p-gone", "ServiceID": worker.id})
    ((level, text),) = await found()
    assert "Nothing on the node p2p-gone is checked" in text
    await remove(consul, {"Node": "p2p-gone"})
    assert await found() == []
    await registrar.close()
    await catalogue.close()


async def remove(consul: ConsulProcess, entry: Mapping[str, str]) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"{consul.url}/v1/catalog/deregister", json=entry) as answer,
    ):
        assert answer.status == 200


async def test_a_cache_folder_that_cannot_be(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").touch()
    found = await doctor_findings("http://127.0.0.1:1", cache=tmp_path / "file" / "cache")
    assert "is not a folder" in faults(found["disk"])[0][1]


async def test_token_files(tmp_path: Path) -> None:
    """One that others read, one that is not TOML, and none; no token is shown."""
    file = tmp_path / "tokens.toml"
    file.write_text('[alice]\ntoken = "s3cret-token"\n')
    file.chmod(0o644)
    found = await doctor_findings("http://127.0.0.1:1", tokens=file)
    assert faults(found["token file"]) == [("warning", f"Other users of this host may read {file}. chmod 600 {file}")]
    file.write_text("[alice\ns3cret-token")
    found = await doctor_findings("http://127.0.0.1:1", tokens=file)
    assert "not TOML" in faults(found["token file"])[0][1]
    assert "s3cret" not in str(found)
    found = await doctor_findings("http://127.0.0.1:1", tokens=tmp_path / "none")
    assert "No such file" in faults(found["token file"])[0][1]


async def test_a_token_that_the_lookup_service_refuses(shared_consul: ConsulProcess, tmp_path: Path) -> None:
    """None, a wrong one, and the right one, which is read from P2P_TOKEN and shown nowhere."""
    file = tmp_path / "tokens.toml"
    file.write_text('[alice]\ntoken = "s3cret-token"\n')
    file.chmod(0o600)
    async with lookup_service(shared_consul, tokens=file) as url:
        for token in (None, "wr0ng-token"):
            found = await doctor_findings(shared_consul.url, lookups=(url,), lookup_token=token)
            ((level, text),) = faults(found["lookup"])
            assert (level, "refuses this token" in text, "P2P_TOKEN" in text) == ("error", True, True)
            assert "wr0ng" not in str(found)
        environ = {"P2P_TOKEN": "s3cret-token"}
        flags = ("--registry", url, "--consul", shared_consul.url)
        async with command("doctor", *flags, environ=environ) as doctor:
            assert await doctor.ended() == 0, doctor.output
        assert "s3cret" not in doctor.output


async def test_variables_that_cannot_be_used() -> None:
    """What a part would refuse at its start is said, with exit code 2."""
    async with command("doctor", environ={"CONSUL_CACERT": "/nowhere.pem"}) as doctor:
        assert await doctor.ended() == 2
    assert doctor.lines == ["p2p doctor: CONSUL_CACERT names /nowhere.pem, which is not a file."]


async def test_ticket_keys(consul: ConsulProcess, tmp_path: Path) -> None:
    """No key anywhere; one that is not published, published, revoked; a folder that others read."""
    folder, store = tmp_path / "keys", KeyValue(ConsulSettings(url=consul.url))

    async def found(**settings: bool) -> list[tuple[str, str]]:
        return faults((await doctor_findings(consul.url, ticket_keys=folder, **settings)).get("ticket keys", []))

    assert "no key with which to check" in (await found(require_ticket=True))[0][1]
    assert await found() == []
    assert not folder.exists()
    key = new_key(time.time())
    KeyFolder(folder).add(key)
    assert "is not in Consul" in (await found())[0][1]
    await publish(store, key)
    assert await found(require_ticket=True) == []
    await withdraw(store, key.key_id, time.time())
    assert "has been revoked" in (await found())[0][1]
    await store.put(f"p2p-serving/ticket-keys/{'0' * 16}", b"nonsense")
    assert "cannot be read" in (await found())[1][1]
    folder.chmod(0o755)
    assert "others may read" in (await found())[0][1]
    await store.close()


async def test_certificates(tmp_path: Path) -> None:
    """Valid; expired, soon to expire, for another host, of an unknown authority, with another's key, no PEM."""
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "stranger", name="stranger")
    good, soon = authority.sign("good"), authority.sign("soon", days=3)
    old, elsewhere = authority.sign("old", days=-1), authority.sign("elsewhere", hosts=["198.18.0.1"])
    for key in tmp_path.rglob("*.key"):
        key.chmod(0o600)

    async def found(tls: TlsFiles, ca: Path | None = authority.ca) -> list[tuple[str, str]]:
        findings = await doctor_findings("http://127.0.0.1:1", tls=tls, trust=TrustFiles(ca))
        return faults(findings["certificates"])

    assert await found(TlsFiles(good.cert, good.key)) == []
    assert [level for level, _ in await found(TlsFiles(soon.cert, soon.key))] == ["warning"]
    expired = await found(TlsFiles(old.cert, old.key))
    assert "expired on" in expired[0][1]
    assert "certificate has expired" in expired[1][1]
    assert "mismatch" in (await found(TlsFiles(elsewhere.cert, elsewhere.key)))[0][1]
    assert "unable to get local issuer" in (await found(TlsFiles(good.cert, good.key), stranger.ca))[0][1]
    assert "does not belong" in (await found(TlsFiles(good.cert, soon.key)))[0][1]
    assert "P2P_CA" in (await found(TlsFiles(good.cert, good.key), None))[0][1]
    assert "no certificate as PEM" in (await found(TlsFiles(good.key, good.key)))[0][1]
    good.key.chmod(0o644)
    assert "chmod 600" in (await found(TlsFiles(good.cert, good.key)))[0][1]
