"""The faults: each breaks something, waits until all is right again, and says how long that took.

Every fault starts from a whole cluster and leaves a whole one behind.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.integration.cluster.cluster import Cluster
from tests.integration.cluster.load import Load
from tests.waiting import until

AT_MOST_S = 90.0


@dataclass(frozen=True, slots=True)
class Fault:
    """`provoke` returns the seconds until all was right again, counted from what `since` says.

    `within_s` is what a test allows for that: generous, for a loaded machine.
    """

    name: str
    since: str
    provoke: Callable[[Cluster], Awaitable[float]]
    within_s: float
    needs_cables: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What clients saw of a fault, and how long it lasted."""

    fault: Fault
    load: Load
    normal_after_s: float


async def suffer(cluster: Cluster, fault: Fault, image: bytes) -> Outcome:
    """Provoke a fault under load; the load goes on until the cluster is whole again."""
    async with Load(cluster, image) as load:
        after_s = await fault.provoke(cluster)
        await cluster.whole(within_s=AT_MOST_S)
    return Outcome(fault, load, after_s)


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> float:
        """Wait until a condition holds; the seconds since the stopwatch was made."""
        await until(condition, within_s=AT_MOST_S)
        return time.monotonic() - self._began_s


async def _settled(cluster: Cluster, stopwatch: Stopwatch) -> float:
    await cluster.settled(within_s=AT_MOST_S)
    return time.monotonic() - stopwatch._began_s


async def _doubted(cluster: Cluster, *names: str) -> None:
    """Wait until these lookup services say that Consul does not confirm what they answer."""

    async def doubted() -> bool:
        return all([(await cluster.rotation(cluster.replicas[name]))[1] for name in names])

    await until(doubted, within_s=AT_MOST_S)


async def leader_killed(cluster: Cluster) -> float:
    """kill -9 of the server that leads; it is started again when another leads."""
    leader = await cluster.leader()
    assert leader is not None
    await leader.kill()
    after_s = await _settled(cluster, Stopwatch())
    leader.start()
    return after_s


async def quorum_lost(cluster: Cluster) -> float:
    """kill -9 of two servers of three; both are started again when the lookup services know that they are alone."""
    leader = await cluster.leader()
    assert leader is not None
    lost = [leader, next(server for server in cluster.servers if server is not leader)]
    for server in lost:
        await server.kill()
    await _doubted(cluster, "a", "b")
    stopwatch = Stopwatch()
    for server in lost:
        server.start()
    return await _settled(cluster, stopwatch)


async def agent_restarted(cluster: Cluster) -> float:
    """A client agent is stopped, which takes its services out of Consul, and started again."""
    agent = cluster.agents["a"]
    await agent.stop()
    await _doubted(cluster, "a")
    stopwatch = Stopwatch()
    agent.start()
    return await _settled(cluster, stopwatch)


async def agent_wiped(cluster: Cluster) -> float:
    """kill -9 of a client agent, which comes back without its data."""
    agent = cluster.agents["b"]
    await agent.kill()
    await _doubted(cluster, "b")
    agent.wipe()
    stopwatch = Stopwatch()
    agent.start()
    workers = sum(worker.agent is agent for worker in cluster.workers)

    async def knows_its_workers() -> bool:
        services = await agent.ask(cluster.http, "/v1/agent/services", token=cluster.management)
        return len(services or ()) >= workers

    await until(knows_its_workers, within_s=AT_MOST_S)
    return await _settled(cluster, stopwatch)


async def worker_killed(cluster: Cluster) -> float:
    """kill -9 of a worker."""
    worker = cluster.workers.pop(0)
    await worker.program.kill()
    after_s = await _settled(cluster, Stopwatch())
    await cluster.add_workers(worker.agent.host.name)
    return after_s


async def worker_frozen(cluster: Cluster) -> float:
    """A worker is stopped by SIGSTOP until it is out of the rotation, and goes on."""
    worker = cluster.workers.pop(0)
    worker.program.send(signal.SIGSTOP)
    await cluster.settled(within_s=AT_MOST_S)
    stopwatch = Stopwatch()
    worker.program.send(signal.SIGCONT)
    cluster.workers.append(worker)
    return await _settled(cluster, stopwatch)


async def worker_stopped(cluster: Cluster) -> float:
    """SIGTERM to a worker."""
    worker = cluster.workers.pop(0)
    stopwatch = Stopwatch()
    worker.program.send(signal.SIGTERM)
    after_s = await _settled(cluster, stopwatch)
    assert await worker.program.ended() == 0, worker.program.output
    await cluster.add_workers(worker.agent.host.name)
    return after_s


async def lookup_killed(cluster: Cluster) -> float:
    """kill -9 of a lookup service, which is started again."""
    replica = cluster.replicas["a"]
    replica.up = False
    await replica.program.kill()
    stopwatch = Stopwatch()
    cluster.start_lookup("a")
    after_s = await _settled(cluster, stopwatch)
    replica.up = True
    return after_s


async def agent_cut_off(cluster: Cluster) -> float:
    """A client agent loses the servers, and they lose it, until they have given its workers up."""
    agent = cluster.agents["a"]
    cluster.network.pull(agent.host, "control")

    async def given_up() -> bool:
        path = f"/v1/health/node/{agent.host.name}?stale"
        checks = await cluster.agents["b"].ask(cluster.http, path, token=cluster.management)
        return any((c["CheckID"], c["Status"]) == ("serfHealth", "critical") for c in checks or ())

    await until(given_up, within_s=AT_MOST_S)
    await _doubted(cluster, "a")
    stopwatch = Stopwatch()
    cluster.network.plug(agent.host, "control")
    return await _settled(cluster, stopwatch)


FAULTS = (
    Fault("leader-killed", "the kill", leader_killed, 20),
    Fault("quorum-lost", "the servers' start", quorum_lost, 30),
    Fault("agent-restarted", "the agent's start", agent_restarted, 20),
    Fault("agent-wiped", "the agent's start", agent_wiped, 40),
    Fault("worker-killed", "the kill", worker_killed, 10),
    Fault("worker-frozen", "SIGCONT", worker_frozen, 15),
    Fault("worker-stopped", "SIGTERM", worker_stopped, 5),
    Fault("lookup-killed", "the kill", lookup_killed, 15),
    Fault("agent-cut-off", "the healing", agent_cut_off, 60, needs_cables=True),
)
