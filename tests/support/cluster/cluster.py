"""A real cluster: three Consul servers, two client agents, and on each client's host a lookup service and workers.

Tokens, certificates and gossip encryption are as an operator would have them. Nothing here decides what must hold:
`load.py` counts what clients see, `faults.py` breaks things, the tests judge.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.cluster import rights
from tests.support.cluster.agent import Agent
from tests.support.cluster.keys import Keys, make_keys
from tests.support.cluster.network import Network, open_network
from tests.support.cluster.program import Program
from tests.support.waiting import until

SERVERS = ("s1", "s2", "s3")
CLIENTS = ("a", "b")


@dataclass
class Replica:
    """A lookup service. `up` says whether clients may expect an answer of it."""

    agent: Agent
    url: str
    program: Program
    up: bool = True


@dataclass
class Worker:
    """A worker and the `host:port` that it serves at."""

    agent: Agent
    program: Program
    address: str


@dataclass
class Cluster:
    """The running parts; `workers` are those that should be in rotation."""

    network: Network
    keys: Keys
    folder: Path
    agents: dict[str, Agent]
    http: aiohttp.ClientSession
    port: int
    management: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    replicas: dict[str, Replica] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)

    @property
    def servers(self) -> list[Agent]:
        return [agent for agent in self.agents.values() if agent.is_server]

    def environ(self, agent: Agent, token: str) -> dict[str, str]:
        """What a part needs to speak to its agent: Consul's own variables."""
        return {
            "CONSUL_HTTP_ADDR": agent.url,
            "CONSUL_HTTP_TOKEN": token,
            "CONSUL_CACERT": str(self.keys.ca),
            "CONSUL_CLIENT_CERT": str(self.keys.clients.cert),
            "CONSUL_CLIENT_KEY": str(self.keys.clients.key),
        }

    def run(self, agent: Agent, *arguments: str | Path, token: str, log: str, **environ: str) -> Program:
        """`python ARGUMENTS` on the agent's host."""
        return Program(
            agent.host,
            [sys.executable, *arguments],
            log=self.folder / f"{log}.log",
            environ=self.environ(agent, token) | environ,
        )

    def start_lookup(self, name: str) -> None:
        """Start the lookup service beside the client agent `name`, again if there was one: `up` stays as it is."""
        agent = self.agents[name]
        place = ("--host", agent.host.address, "--port", str(self.port))
        state = ("--state", str(self.folder / f"lookup-{name}.json"))
        program = self.run(
            agent, "-m", "p2pclient", "registry", *place, *state, token=self.tokens["lookup"], log=f"lookup-{name}"
        )
        if name in self.replicas:
            self.replicas[name].program = program
        else:
            self.replicas[name] = Replica(agent, f"http://{agent.host.address}:{self.port}", program)

    async def start_worker(self, name: str, *arguments: str, module: str = "worker") -> Worker:
        """A worker on the host of the client agent `name`, serving; it is not yet one of `workers`."""
        agent = self.agents[name]
        program = self.run(
            agent,
            *("-m", module, "--engine", "echo", "--host", agent.host.address, "--drain", "0.5"),
            *(() if self.network.has_cables else ("--allow-loopback",)),
            *arguments,
            token=self.tokens["worker"],
            log=f"worker-{name}-{self.network.free_port()}",
        )
        await program.says("Serving classify on http://")
        return Worker(agent, program, program.output.partition("Serving classify on http://")[2].split()[0].rstrip("."))

    async def add_workers(self, *names: str) -> None:
        """Start workers that should be in rotation from now on."""
        self.workers += await asyncio.gather(*(self.start_worker(name) for name in names))

    async def token(self, rules: str) -> str:
        """A new token with these rights alone."""
        token, _ = await self.token_and_policy(rules)
        return token

    async def token_and_policy(self, rules: str) -> tuple[str, dict[str, Any]]:
        """A new token with these rights alone, and the policy that holds them, for `change_rights`."""
        name = f"rights-{self.network.free_port()}"
        policy = await self.told("/v1/acl/policy", {"Name": name, "Rules": rules})
        made = await self.told("/v1/acl/token", {"Policies": [{"Name": name}]})
        return str(made["SecretID"]), policy

    async def change_rights(self, policy: dict[str, Any], rules: str) -> None:
        """Give the tokens of this policy other rights."""
        await self.told(f"/v1/acl/policy/{policy['ID']}", {"Name": policy["Name"], "Rules": rules})

    async def manage(self, path: str, *, method: str = "GET", body: object | None = None) -> Any:
        """What a server answers to an operator who may do everything; None where none answers."""
        for server in self.servers:
            answer = await server.ask(self.http, path, method=method, token=self.management, body=body)
            if answer is not None:
                return answer
        return None

    async def leader(self) -> Agent | None:
        """The server that leads, where all running servers agree on it."""
        running = [server for server in self.servers if server.running]
        said = {await server.ask(self.http, "/v1/status/leader", timeout_s=0.5) for server in running}
        address = str(said.pop() or "") if len(said) == 1 else ""
        return next((s for s in running if address.startswith(f"{s.host.control}:")), None)

    async def rotation(self, replica: Replica, service: str = "classify") -> tuple[set[str], bool]:
        """The addresses that a lookup service hands out, and whether it says that it is not up to date."""
        limit = aiohttp.ClientTimeout(total=1.0)
        url = f"{replica.url}/next/{service}?count=1000"
        try:
            async with self.http.get(url, timeout=limit) as answer:
                names = (await answer.text()).split() if answer.status == 200 else []
        except (aiohttp.ClientError, TimeoutError):
            return set(), True
        return set(names), "X-Registry-Stale" in answer.headers

    async def hands_out(self, workers: Sequence[Worker], *replicas: Replica) -> bool:
        """Whether these lookup services (all, unless named) give exactly these workers, sure of it."""
        wanted = ({worker.address for worker in workers}, False)
        asked = replicas or tuple(self.replicas.values())
        return all([await self.rotation(replica) == wanted for replica in asked])

    async def settled(self, *, within_s: float = 60.0) -> None:
        """Wait until there is a leader and both lookup services give exactly `workers`."""

        async def right() -> bool:
            return await self.hands_out(self.workers) and await self.leader() is not None

        await until(right, within_s=within_s)

    async def whole(self, *, within_s: float = 60.0) -> None:
        """Wait until nothing is left of the last fault: all agents are alive to all others, and it has settled."""

        async def complete() -> bool:
            for agent in self.agents.values():
                members = await agent.ask(self.http, "/v1/agent/members", token=self.management)
                if sum(member["Status"] == 1 for member in members or ()) != len(self.agents):
                    return False
            return True

        await until(complete, within_s=within_s)
        await self.settled(within_s=within_s)

    async def told(self, path: str, body: object | None = None) -> Any:
        """Tell the servers something; new ones need a moment until they have a leader and know of ACLs."""
        return await until(lambda: self.manage(path, method="PUT", body=body), within_s=10)


@asynccontextmanager
async def running_cluster(consul: Path, folder: Path) -> AsyncIterator[Cluster]:
    """The whole cluster, settled, with two workers on each client's host; everything is ended on exit."""
    async with open_network(*SERVERS, *CLIENTS) as network:
        hosts = {host.name: host for host in network.hosts}
        roles = {"servers": [hosts[name] for name in SERVERS], "clients": [hosts[name] for name in CLIENTS]}
        keys = await asyncio.to_thread(make_keys, consul, folder / "keys", **roles)  # it runs ten commands
        ports = {kind: network.free_port() for kind in ("https", "server", "serf_lan")}
        joined = [hosts[name].control for name in SERVERS]

        def agent(name: str) -> Agent:
            return Agent(consul, hosts[name], folder / name, keys, ports, joined, is_server=name in SERVERS)

        agents = {name: agent(name) for name in hosts}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=keys.tls())) as http:
            cluster = Cluster(network, keys, folder, agents, http, network.free_port())
            try:
                await _bring_up(cluster)
                yield cluster
            finally:
                await _bring_down(cluster)


async def _bring_up(cluster: Cluster) -> None:
    for server in cluster.servers:
        server.start()
    await until(cluster.leader, within_s=30)
    made = await cluster.told("/v1/acl/bootstrap")
    cluster.management = made["SecretID"]
    for name, agent in cluster.agents.items():
        agent.token = await cluster.token(rights.agent(name))
        if agent.is_server:
            path, body = "/v1/agent/token/agent", {"Token": agent.token}
            await agent.ask(cluster.http, path, method="PUT", token=cluster.management, body=body)
        else:
            agent.start()
    for part, rules in (("worker", rights.WORKER), ("lookup", rights.LOOKUP), ("operator", rights.OPERATOR)):
        cluster.tokens[part] = await cluster.token(rules)
    for name in CLIENTS:
        cluster.start_lookup(name)
    await cluster.add_workers(*CLIENTS, *CLIENTS)
    await cluster.whole()


async def _bring_down(cluster: Cluster) -> None:
    programs = [replica.program for replica in cluster.replicas.values()]
    programs += [worker.program for worker in cluster.workers]
    await asyncio.gather(*(program.kill() for program in programs))
    await asyncio.gather(*(agent.kill() for agent in cluster.agents.values() if agent.running))
