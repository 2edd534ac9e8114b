"""Loopback addresses and a real Consul in which other machines take part: refused by worker, exec and up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.backend.errors import BackendRefused
from registry.consul.agent_info import AgentInfo
from registry.consul.catalog import Catalog
from registry.consul.settings import ConsulSettings
from tests.support.command_process import command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until
from tests.support.workers.echo_worker import echo_worker
from worker.advertising.refuse_loopback import refuse_loopback

WORKER = ("worker", "--engine", "echo", "--service", "alone", "--drain", "0")
EXEC = ("exec", "--service", "alone", "--drain", "0")
SERVER = ("--", "python", "-m", "http.server", "{port}")


@pytest.fixture(scope="module")
def agent(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulProcess]:
    """A client agent of a cluster of two."""
    server = ConsulProcess(consul_binary, tmp_path_factory.mktemp("server"), node="server")
    server.start()
    client = ConsulProcess(consul_binary, tmp_path_factory.mktemp("client"), node="client", joins=server)
    client.start()
    yield client
    client.kill()  # asked to end, it would take 5 s to leave the cluster
    server.kill()


@pytest.mark.parametrize(
    "arguments", [WORKER, (*EXEC, *SERVER), ("up", "--engine", "echo")], ids=["worker", "exec", "up"]
)
async def test_a_loopback_address_is_refused_where_members_are_several(
    agent: ConsulProcess, arguments: tuple[str, ...]
) -> None:
    """One sentence that names the three flags, exit code 1, and nothing is registered."""
    port = ("--port", str(free_port())) if arguments[0] == "up" else ()
    environ = {"CONSUL_HTTP_ADDR": agent.url}
    async with command(arguments[0], *port, *arguments[1:], environ=environ) as running:
        assert await running.ended() == 1
    sentence = next(line for line in running.lines if line.startswith("error: "))
    assert "has 2 members" in sentence
    assert all(flag in sentence for flag in ("--host", "--advertise", "--allow-loopback"))
    catalog = Catalog(ConsulSettings(url=agent.url))
    assert (await catalog.health("alone")).instances == ()
    await catalog.close()


async def test_it_is_registered_where_the_user_says_so(agent: ConsulProcess) -> None:
    """--allow-loopback, or its variable, for clients that are all on this machine."""
    catalog = Catalog(ConsulSettings(url=agent.url))

    async def registered() -> bool:
        return bool((await catalog.health("alone")).instances)

    async def gone() -> bool:
        return not await registered()  # the servers of a cluster learn of a removal a moment after the agent

    for flag, environ in (("--allow-loopback",), {}), ((), {"P2P_ALLOW_LOOPBACK": "1"}):
        async with command(*WORKER, *flag, environ={"CONSUL_HTTP_ADDR": agent.url, **environ}) as running:
            await until(registered, within_s=20)
            running.process.terminate()
            assert await running.ended() == 0
        await until(gone, within_s=20)
    await catalog.close()


async def test_a_consul_beyond_loopback_is_refused_without_being_asked() -> None:
    """The address of Consul decides: whoever reaches it finds the worker there."""
    with pytest.raises(BackendRefused, match="not on this machine's loopback"):
        await refuse_loopback("127.0.0.1", ConsulSettings(url="http://198.18.0.1:8500"))


async def test_one_machine_is_fine(consul: ConsulProcess) -> None:
    """A Consul alone on loopback takes loopback addresses, as it always has."""
    async with echo_worker(consul.url) as worker:
        assert worker.running.instance.host == "127.0.0.1"


async def test_an_agent_tells_who_takes_part(agent: ConsulProcess) -> None:
    """Its own node, the members, the servers, the leader, the time."""
    facts = AgentInfo(ConsulSettings(url=agent.url))
    assert (await facts.itself()).name == "client"
    assert sorted(member.name for member in await facts.members()) == ["client", "server"]
    assert list(await facts.servers()) == ["127.0.0.1"]
    assert (await facts.leader()).startswith("127.0.0.1:")
    assert await facts.time_s() > 0
    await facts.close()
