"""The agent: how its own list and the catalogue agree, and that its background work goes on after a failure."""

from __future__ import annotations

import logging

import pytest

from registry.agent import agent as agent_module
from registry.agent.agent import Agent
from registry.agent.checks import runner
from registry.agent.checks.definitions import CheckDefinition, HttpProbe, Repeated, ServiceDefinition, TcpProbe, Ttl
from registry.agent.state.catalog import CatalogChange
from registry.agent.state.records import Check, Node, Service, Status
from registry.runtime.tasks import supervise
from tests.support.waiting import until


def an_agent() -> Agent:
    return Agent(node=Node(id="0", name="own", address="127.0.0.1"), port=1, version="0")


def a_service() -> ServiceDefinition:
    check = CheckDefinition("c", "beat", Ttl(1000.0), status=Status.PASSING, service_id="a")
    return ServiceDefinition(Service(id="a", name="a"), (check,))


async def test_the_catalogue_is_made_to_agree() -> None:
    """What another client removed or wrote on the agent's node is put right; other nodes are left alone."""
    async with an_agent() as agent:
        catalog = agent.state.catalog
        agent.register(a_service())
        services, checks = dict(catalog.services), dict(catalog.checks)
        agent.state.commit(
            CatalogChange(
                nodes=[Node(id="0", name="own", address="elsewhere"), Node(id="", name="n1", address="b")],
                services=[Service("stray", "stray", "own"), Service("there", "there", "n1")],
                checks=[Check("stray", "stray", "own")],
                removed_services=[("own", "a"), ("own", "consul")],
            )
        )
        agent.synchronize()
        assert catalog.nodes["own"].address == "127.0.0.1"
        assert catalog.services == services | {("n1", "there"): Service("there", "there", "n1")}
        assert catalog.checks == checks


@pytest.mark.parametrize(
    "change",
    [CatalogChange(removed_nodes=["own"]), CatalogChange(removed_services=[("own", "a")])],
    ids=["node", "service"],
)
async def test_a_heartbeat_brings_back_what_was_removed(change: CatalogChange) -> None:
    """A heartbeat for a service that another client removed from the catalogue puts it there again."""
    async with an_agent() as agent:
        agent.register(a_service())
        agent.state.commit(change)
        agent.heartbeat("c", Status.WARNING, "")
        assert agent.state.catalog.checks["own", "c"].status == Status.WARNING
        assert ("own", "a") in agent.state.catalog.services
        assert "own" in agent.state.catalog.nodes


async def test_a_check_that_moves_to_another_service() -> None:
    """A check registered again for another service belongs to that one alone."""
    async with an_agent() as agent:
        agent.register(a_service())
        agent.register(ServiceDefinition(Service(id="b", name="b")))
        agent.register_check(CheckDefinition("c", "beat", Ttl(1000.0), service_id="b"))
        assert ([c.id for c in agent.checks_of("a")], [c.id for c in agent.checks_of("b")]) == ([], ["c"])
        agent.deregister("b")
        assert agent.checks == {}


async def test_periodic_work_goes_on_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception while services are reaped is logged, and sessions still end when their time is over."""
    monkeypatch.setattr(agent_module, "_SWEEP_INTERVAL_S", 0.001)
    monkeypatch.setattr(supervise, "backoff_s", lambda failures, chance: 0.001)
    agent = an_agent()
    failures = iter([RuntimeError("broken"), RuntimeError("broken again")])

    def reap(now_s: float) -> None:
        for failure in failures:
            raise failure

    monkeypatch.setattr(agent, "reap", reap)
    with caplog.at_level(logging.ERROR):
        async with agent:
            monkeypatch.setattr(agent.state.sessions, "expired", lambda: ["s"])
            ended: list[str] = []
            monkeypatch.setattr(agent.state, "end_session", ended.append)
            await until(lambda: ended)
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["broken", "broken again"]


@pytest.mark.parametrize("probe", [HttpProbe("http://127.0.0.1:1/"), TcpProbe("127.0.0.1:1")])
async def test_a_check_goes_on_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, probe: HttpProbe | TcpProbe, caplog: pytest.LogCaptureFixture
) -> None:
    """A probe that raises what no probe should is logged, and the check goes on to be run."""
    monkeypatch.setattr(supervise, "backoff_s", lambda failures, chance: 0.001)
    results = iter([RuntimeError("broken"), (Status.PASSING, "fine")])

    async def run_probe(*_: object) -> tuple[Status, str]:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(runner, "run_probe", run_probe)
    reported: list[tuple[str, Status, str]] = []
    with caplog.at_level(logging.ERROR):
        async with runner.CheckRunner(lambda *report: reported.append(report)) as checks:
            checks.start("c", Repeated(probe, interval_s=60.0))
            await until(lambda: reported)
    assert reported == [("c", Status.PASSING, "fine")]
    assert "check c" in caplog.text
