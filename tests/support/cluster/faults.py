"""The faults: each breaks something, repairs it, and waits until the cluster has recovered.

Every fault starts from a whole cluster and leaves a whole one behind. What is broken stays so until it has been
noticed, and for `lasting_s` seconds more.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.support.cluster.agent import Agent
from tests.support.cluster.cluster import Cluster
from tests.support.cluster.load import Load
from tests.support.waiting import until

AT_MOST_S = 60.0

DOUBT_S = 12.0
"""Within this a lookup service must say that Consul does not confirm its answers: the leader is asked for every 2 s,
and 3 s without an answer count as none."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`provoke(cluster, lasting_s)` returns the seconds until all was right again, counted from `since`.

    `within_s` is what a test allows for that: generous, for a loaded machine.
    """

    name: str
    what: str
    since: str
    provoke: Callable[[Cluster, float], Awaitable[float]]
    within_s: float
    needs_cables: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What clients saw of a fault, and how long it lasted."""

    load: Load
    normal_after_s: float


async def suffer(cluster: Cluster, fault: Fault, image: bytes, *, lasting_s: float = 0.0) -> Outcome:
    """Provoke a fault under load; the load goes on until the cluster is whole again."""
    async with Load(cluster, image) as load:
        await until(load.flows)
        after_s = await fault.provoke(cluster, lasting_s)
        await cluster.whole(within_s=AT_MOST_S)
    return Outcome(load, after_s)


async def leader_killed(cluster: Cluster, _: float) -> float:
    """The server comes back when another one leads."""
    leader = await _leader(cluster)
    await leader.kill()
    after_s = await _settled(cluster, since_s=time.monotonic())
    leader.start()
    return after_s


async def quorum_lost(cluster: Cluster, lasting_s: float) -> float:
    """The server that is left knows that it is alone, and so do the lookup services."""
    leader = await _leader(cluster)
    others = [server for server in cluster.servers if server is not leader]
    lost = [leader, others[0]]
    for server in lost:
        await server.kill()

    async def leaderless() -> bool:
        return bool(await others[1].ask(cluster.http, "/v1/status/leader") == "")

    await until(leaderless, within_s=AT_MOST_S)
    await _doubted(cluster, "a", "b")
    return await _come_back(cluster, lasting_s, *lost)


async def agent_restarted(cluster: Cluster, lasting_s: float) -> float:
    """SIGTERM makes an agent leave the cluster, and its services leave with it."""
    agent = cluster.agents["a"]
    await agent.stop()
    await _doubted(cluster, "a")
    return await _come_back(cluster, lasting_s, agent)


async def agent_killed(cluster: Cluster, lasting_s: float) -> float:
    agent = cluster.agents["b"]
    await agent.kill()
    await _doubted(cluster, "b")
    return await _come_back(cluster, lasting_s, agent)


async def agent_wiped(cluster: Cluster, lasting_s: float) -> float:
    """The agent knows nobody until its workers have registered again."""
    agent = cluster.agents["b"]
    await agent.kill()
    await _doubted(cluster, "b")
    agent.wipe()
    await asyncio.sleep(lasting_s)
    since_s = time.monotonic()
    agent.start()
    workers = sum(worker.agent is agent for worker in cluster.workers)

    async def knows_its_workers() -> bool:
        services = await agent.ask(cluster.http, "/v1/agent/services", token=cluster.management)
        return len(services or ()) >= workers

    await until(knows_its_workers, within_s=AT_MOST_S)
    return await _settled(cluster, since_s=since_s)


async def agent_cut_off(cluster: Cluster, lasting_s: float) -> float:
    """The servers have given the agent's node up, and its lookup service says that it hears nothing."""
    agent = cluster.agents["a"]
    cluster.network.pull(agent.host, "control")
    await until(lambda: _given_up(cluster, agent), within_s=AT_MOST_S)
    await _doubted(cluster, "a")
    return await _heal(cluster, lasting_s, agent)


async def agent_restarted_cut_off(cluster: Cluster, lasting_s: float) -> float:
    """The agent cannot look tokens up and refuses them all; a worker that starts there must not take it for a no."""
    agent = cluster.agents["a"]
    cluster.network.pull(agent.host, "control")
    await agent.kill()
    agent.start()
    await _doubted(cluster, "a")
    await cluster.add_workers(agent.host.name)
    after_s = await _heal(cluster, lasting_s, agent)
    await cluster.workers.pop().program.stop()
    return after_s


async def worker_killed(cluster: Cluster, _: float) -> float:
    worker = cluster.workers.pop(0)
    await worker.program.kill()
    after_s = await _settled(cluster, since_s=time.monotonic())
    await cluster.add_workers(worker.agent.host.name)
    return after_s


async def most_workers_killed(cluster: Cluster, lasting_s: float) -> float:
    """Three of four, at once; Consul's sets are no better than its checks, and lookups prefer all to few."""
    lost = [cluster.workers.pop(0) for _ in range(len(cluster.workers) - 1)]
    for worker in lost:
        await worker.program.kill()
    await asyncio.sleep(lasting_s)
    since_s = time.monotonic()
    await cluster.add_workers(*(worker.agent.host.name for worker in lost))
    return await _settled(cluster, since_s=since_s)


async def servers_lost(cluster: Cluster, lasting_s: float) -> float:
    """Servers that all come back at once strike nodes off that have not said hello again yet."""
    for server in cluster.servers:
        await server.kill()
    await _doubted(cluster, "a", "b")
    return await _come_back(cluster, lasting_s, *cluster.servers)


async def worker_frozen(cluster: Cluster, lasting_s: float) -> float:
    """A stopped process still takes connections: the kernel does that for it."""
    worker = cluster.workers.pop(0)
    worker.program.send(signal.SIGSTOP)
    await cluster.settled(within_s=AT_MOST_S)
    await asyncio.sleep(lasting_s)
    since_s = time.monotonic()
    worker.program.send(signal.SIGCONT)
    cluster.workers.append(worker)
    return await _settled(cluster, since_s=since_s)


async def worker_stopped(cluster: Cluster, _: float) -> float:
    """It leaves in order and ends with 0."""
    worker = cluster.workers.pop(0)
    since_s = time.monotonic()
    worker.program.send(signal.SIGTERM)
    after_s = await _settled(cluster, since_s=since_s)
    assert await worker.program.ended() == 0, worker.program.output
    await cluster.add_workers(worker.agent.host.name)
    return after_s


async def lookup_killed(cluster: Cluster, lasting_s: float) -> float:
    """The other one goes on; nobody but the clients notices."""
    replica = cluster.replicas["a"]
    replica.up = False
    await replica.program.kill()
    await asyncio.sleep(lasting_s)
    since_s = time.monotonic()
    cluster.start_lookup("a")
    after_s = await _settled(cluster, since_s=since_s)
    replica.up = True
    return after_s


async def _leader(cluster: Cluster) -> Agent:
    leader = await cluster.leader()
    assert leader is not None, "the cluster is whole at the start of a fault"
    return leader


async def _doubted(cluster: Cluster, *names: str) -> None:
    """Wait until these lookup services say that Consul does not confirm what they answer."""

    async def doubted() -> bool:
        return all([(await cluster.rotation(cluster.replicas[name]))[1] for name in names])

    await until(doubted, within_s=DOUBT_S)


async def _given_up(cluster: Cluster, agent: Agent) -> bool:
    """Whether the servers take the agent's node for dead."""
    path = f"/v1/health/node/{agent.host.name}?stale"
    checks = await cluster.agents["b"].ask(cluster.http, path, token=cluster.management)
    return any((c["CheckID"], c["Status"]) == ("serfHealth", "critical") for c in checks or ())


async def _heal(cluster: Cluster, lasting_s: float, agent: Agent) -> float:
    """Plug the cable of Consul's own traffic in again; the seconds from there until all is right."""
    await asyncio.sleep(lasting_s)
    since_s = time.monotonic()
    cluster.network.plug(agent.host, "control")
    return await _settled(cluster, since_s=since_s)


async def _come_back(cluster: Cluster, lasting_s: float, *agents: Agent) -> float:
    """Start these again; the seconds from there until all is right."""
    await asyncio.sleep(lasting_s)
    since_s = time.monotonic()
    for agent in agents:
        agent.start()
    return await _settled(cluster, since_s=since_s)


async def _settled(cluster: Cluster, *, since_s: float) -> float:
    await cluster.settled(within_s=AT_MOST_S)
    return time.monotonic() - since_s


FAULTS = (
    Fault("leader-killed", "the leading server killed (-9)", "the kill", leader_killed, 20),
    Fault("quorum-lost", "two servers of three killed (-9), then started", "their start", quorum_lost, 30),
    Fault("agent-restarted", "a client agent stopped and started", "its start", agent_restarted, 20),
    Fault("agent-killed", "a client agent killed (-9) and started", "its start", agent_killed, 20),
    Fault("agent-wiped", "a client agent killed (-9) and started without its data", "its start", agent_wiped, 40),
    Fault("worker-killed", "a worker killed (-9)", "the kill", worker_killed, 10),
    Fault("worker-frozen", "a worker stopped (SIGSTOP) and continued", "SIGCONT", worker_frozen, 15),
    Fault("worker-stopped", "a worker told to leave (SIGTERM)", "SIGTERM", worker_stopped, 5),
    Fault("lookup-killed", "a lookup service killed (-9) and started", "its start", lookup_killed, 15),
    Fault("agent-cut-off", "a client agent cut off from the servers", "the healing", agent_cut_off, 60, True),
    Fault(
        "agent-restarted-cut-off",
        "the same, restarted there, and a worker started beside it",
        "the healing",
        agent_restarted_cut_off,
        60,
        True,
    ),
)

HARSHER = (
    Fault("servers-lost", "all three servers killed (-9) and started", "their start", servers_lost, 60),
    Fault(
        "most-workers-killed",
        "three workers of four killed (-9), and others started",
        "their start",
        most_workers_killed,
        60,
    ),
)
"""Measured, not tested: how long they take, and whether anybody notices, is a matter of chance."""
