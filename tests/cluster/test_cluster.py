"""A whole cluster is broken in every way that we know of, while clients look up and classify without a pause."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.cluster import rights
from tests.support.cluster.cluster import Cluster, Replica, Worker, running_cluster
from tests.support.cluster.faults import FAULTS, Fault, suffer
from tests.support.cluster.load import picture
from tests.support.cluster.program import Program
from tests.support.waiting import until
from worker.registration import AUDIT_S, HEARTBEAT_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHECK_S = 2.0
"""How often Consul asks a worker's health path."""


@dataclass
class Sidelined:
    """A worker that an operator took out of the rotation, and when."""

    worker: Worker
    since_s: float

    @property
    def id(self) -> str:
        return f"classify-{self.worker.address.replace(':', '-')}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with running_cluster(consul_binary, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidelined(cluster: Cluster, consul_binary: Path) -> AsyncIterator[Sidelined]:
    """Beside the workers of every test there is one that must not be handed out."""
    worker = await cluster.start_worker("a")
    taken_out = Sidelined(worker, time.monotonic())
    await maintain(consul_binary, cluster, taken_out, "-enable", "-reason=a new disk")
    await cluster.settled()
    yield taken_out
    await worker.program.kill()


async def maintain(consul: Path, cluster: Cluster, out: Sidelined, *arguments: str) -> None:
    """`consul maint`, as an operator would say it."""
    agent = out.worker.agent
    environ = cluster.environ(agent, cluster.tokens["operator"])
    command = [*agent.host.prefix, str(consul), "maint", f"-service={out.id}", *arguments]
    done = await asyncio.to_thread(subprocess.run, command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_clients_do_not_notice(cluster: Cluster, sidelined: Sidelined, fault: Fault) -> None:
    """No lookup fails where a lookup service lives, no prediction fails, and soon all is as it was before."""
    if fault.needs_cables and not cluster.network.has_cables:
        pytest.skip("a partition needs network namespaces: root, and iproute2's `ip netns`")
    outcome = await suffer(cluster, fault, picture(64, 48))
    for seen in (outcome.load.lookups, outcome.load.predictions):
        assert {name: dict(tally.reasons) for name, tally in seen.items()} == {name: {} for name in seen}
    assert outcome.normal_after_s < fault.within_s


@pytest.mark.parametrize("left", [rights.STRANGER, 'service_prefix "" { policy = "read" }'], ids=["none", "no nodes"])
async def test_a_lookup_service_that_loses_its_rights_goes_on(
    cluster: Cluster, sidelined: Sidelined, consul_binary: Path, left: str
) -> None:
    """Consul then says 200 and an empty list: the last good set is handed out, stale, until the rights are back."""
    agent = cluster.agents["b"]
    token, policy = await cluster.token_and_policy(rights.LOOKUP)
    port = str(cluster.network.free_port())
    place = ("--host", agent.host.address, "--port", port, "--state", "")
    program = cluster.run(agent, "-m", "p2pclient", "registry", *place, token=token, log=f"lookup-{port}")
    replica = Replica(agent, f"http://{agent.host.address}:{port}", program)
    everyone = {worker.address for worker in cluster.workers}
    await until(lambda: cluster.hands_out(cluster.workers, replica), within_s=20)
    await cluster.change_rights(policy, left)
    await maintain(consul_binary, cluster, sidelined, "-disable")  # any change makes Consul answer anew
    await maintain(consul_binary, cluster, sidelined, "-enable", "-reason=a new disk")

    async def held() -> bool:
        return await cluster.rotation(replica) == (everyone, True)

    await until(held, within_s=10)
    await cluster.change_rights(policy, rights.LOOKUP)
    await until(lambda: cluster.hands_out(cluster.workers, replica), within_s=10)
    assert await program.stop() == 0


async def test_only_the_operator_takes_a_worker_back(
    cluster: Cluster, sidelined: Sidelined, consul_binary: Path
) -> None:
    """Maintenance outlives heartbeats, audits and a restart of the agent, and ends when the operator says so."""
    agent = sidelined.worker.agent
    await agent.kill()
    agent.start()
    out_for_s = AUDIT_S + 2 * HEARTBEAT_S
    await until(lambda: time.monotonic() - sidelined.since_s > out_for_s, within_s=out_for_s + 1)
    await cluster.whole()
    for replica in cluster.replicas.values():
        found = await instance(cluster, replica.url, sidelined.worker)
        assert found["health"] == "maintenance"
    await maintain(consul_binary, cluster, sidelined, "-disable")
    await until(lambda: cluster.hands_out([*cluster.workers, sidelined.worker]), within_s=5)
    assert await sidelined.worker.program.stop() == 0
    await cluster.settled(within_s=5)


async def test_a_worker_in_the_catalogue(cluster: Cluster, sidelined: Sidelined) -> None:
    """With the rights that the guide names, a worker registers in the catalogue and a lookup service checks it there.

    Cut off from the network it is critical; back again it passes, as the same process. It leaves nothing behind.
    """
    agent, port = cluster.agents["b"], str(cluster.network.free_port())
    place = ("--host", agent.host.address, "--port", port, "--state", "")
    token = await cluster.token(rights.CATALOG_LOOKUP)
    checker = cluster.run(agent, "-m", "p2pclient", "registry", *place, token=token, log=f"checker-{port}")
    host = cluster.agents["a"].host
    flags = (
        "--engine",
        "echo",
        "--host",
        host.address,
        "--drain",
        "0.1",
        "--service",
        "apart",
        "--register",
        "catalog",
    )
    token = await cluster.token(rights.CATALOG_WORKER)
    worker = cluster.run(
        cluster.agents["a"], "-m", "worker", *flags, "--register", "catalog", token=token, log=f"apart-{port}"
    )
    await worker.says("Registered as apart-")

    async def apart() -> list[tuple[str, str]]:
        async with cluster.http.get(f"http://{agent.host.address}:{port}/instances/apart") as answer:
            found = (await answer.json())["instances"] if answer.status == 200 else []
            return [(i["health"], i["boot"]) for i in found]

    async def is_so(*wanted: str) -> bool:
        return [health for health, _ in await apart()] == list(wanted)

    await checker.says("This lookup process checks the workers")
    await until(lambda: is_so("passing"), within_s=20)
    before = await apart()
    if cluster.network.has_cables:
        cluster.network.pull(host, "data")
        await until(lambda: is_so("critical"), within_s=20)
        cluster.network.plug(host, "data")
        await until(lambda: is_so("passing"), within_s=20)
        assert await apart() == before
    assert await worker.stop() == 0
    await until(lambda: is_so(), within_s=20)
    assert await checker.stop() == 0
    await cluster.settled(within_s=30)


async def instance(cluster: Cluster, registry: str, worker: Worker) -> dict[str, Any]:
    """What a lookup service knows of a worker."""
    async with cluster.http.get(f"{registry}/instances/classify") as answer:
        instances = (await answer.json())["instances"]
    found: dict[str, Any] = next(i for i in instances if i["address"] == worker.address)
    return found


@asynccontextmanager
async def flood(cluster: Cluster, worker: Worker) -> AsyncIterator[list[int]]:
    """Far more clients than the worker has room for; the statuses that they got."""
    statuses: list[int] = []

    async def client() -> None:
        while True:
            async with cluster.http.post(f"http://{worker.address}/", data=picture(4, 1)) as answer:
                statuses.append(answer.status)
            await asyncio.sleep(0.2 if answer.status == 503 else 0)

    clients = [asyncio.create_task(client()) for _ in range(64)]
    yield statuses
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)


async def test_a_crowded_worker_gets_less_and_stays(cluster: Cluster) -> None:
    """Overload is a warning, weight 1 instead of 3, for as long as it lasts and without a flicker; then it is over."""
    worker = await cluster.start_worker(
        "b", "--queue", "40", "--weight", "3", module="tests.support.cluster.crowded_worker"
    )
    registries = [replica.url for replica in cluster.replicas.values()]

    async def shown() -> list[tuple[str, int]]:
        found = [await instance(cluster, registry, worker) for registry in registries]
        return [(i["health"], i["weight"]) for i in found]

    async def all_show(health: str, weight: int) -> bool:
        return await shown() == [(health, weight)] * len(registries)

    everyone = [*cluster.workers, worker]
    await until(lambda: cluster.hands_out(everyone), within_s=10)
    assert await all_show("passing", 3)
    async with flood(cluster, worker) as statuses:
        await until(lambda: all_show("warning", 1), within_s=10)
        until_s = time.monotonic() + 2.5 * CHECK_S
        while time.monotonic() < until_s:
            assert await all_show("warning", 1), await shown()
            assert await cluster.hands_out(everyone)
            await asyncio.sleep(0.05)
    assert set(statuses) == {200, 503}
    await until(lambda: all_show("passing", 3), within_s=10)
    assert await worker.program.stop() == 0


async def test_a_worker_that_may_not_register_says_so(cluster: Cluster) -> None:
    """A token without the right, none, an unknown one, a stranger's certificate: one sentence, exit code 1."""
    stranger = await cluster.token(rights.STRANGER)
    agent = cluster.agents["a"]
    command = ("-m", "p2pclient", "worker", "--engine", "echo", "--host", agent.host.address)

    def start(log: str, token: str, **environ: str) -> Program:
        return cluster.run(agent, *command, token=token, log=log, **environ)

    good = cluster.tokens["worker"]
    refused = {
        "Missing service:write on classify. Give a token": start("right", stranger),
        "Permission denied": start("none", ""),
        "ACL not found. Give a token": start("unknown", "00000000-0000-0000-0000-000000000001"),
        "name the file of the authority that signed it in CONSUL_CACERT": start(
            "authority", good, CONSUL_CACERT=str(cluster.keys.stranger_ca)
        ),
        "asks for a client's certificate": start("certificate", good, CONSUL_CLIENT_CERT="", CONSUL_CLIENT_KEY=""),
    }
    for sentence, program in refused.items():
        assert await program.ended(within_s=30) == 1
        last = program.output.splitlines()[-1]
        assert last.startswith("error: ")
        assert sentence in last
        assert "Traceback" not in program.output


async def test_a_lookup_service_that_may_not_read_says_so(cluster: Cluster) -> None:
    """Consul hides what a token may not read and says 200: the lookup service says what the token lacks."""
    agent = cluster.agents["b"]
    no_nodes = await cluster.token('service_prefix "" { policy = "read" }')
    expected = {
        "needs service:read and node:read": await cluster.token(rights.STRANGER),
        "needs node:read, too": no_nodes,
        "ACL not found. Give a token": "00000000-0000-0000-0000-000000000001",
    }

    async def is_told(sentence: str, token: str) -> None:
        port = str(cluster.network.free_port())
        place = ("--host", agent.host.address, "--port", port, "--state", "")
        program = cluster.run(agent, "-m", "p2pclient", "registry", *place, token=token, log=f"lookup-{port}")
        await program.says("Lookup service on")

        async def told() -> bool:
            async with cluster.http.get(f"http://{agent.host.address}:{port}/next") as answer:
                return answer.status == 503 and sentence in await answer.text()

        await until(told, within_s=10)
        assert await program.stop() == 0

    await asyncio.gather(*(is_told(sentence, token) for sentence, token in expected.items()))
