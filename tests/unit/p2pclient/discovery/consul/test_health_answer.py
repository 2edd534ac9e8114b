"""Properties of what a client believes of Consul's answers, and of whom it uses then."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.discovery.consul.health_answer import GRACE_S, HealthAnswer, KnownWorkers, read_health, reconcile
from p2pclient.discovery.health_filter import MAINTENANCE, HealthFilter
from p2pclient.types import Worker

in_moderation = settings(max_examples=50, deadline=None)
HEALTHS = ["passing", "warning", "critical", MAINTENANCE]


def worker(number, health="passing"):
    return Worker("classify", f"w{number:02}", "10.0.0.1", 9000 + number, health=health)


sets = st.dictionaries(st.integers(0, 12), st.sampled_from(HEALTHS), max_size=8).map(
    lambda healths: tuple(worker(number, health) for number, health in sorted(healths.items()))
)
answers = st.builds(HealthAnswer, st.integers(0, 50), sets, st.booleans())


@in_moderation
@given(st.lists(st.tuples(answers, st.floats(0, 20)), max_size=12))
def test_who_is_named_is_believed_and_nobody_else_for_long(course):
    """Whoever is named is known at once; who no longer is, is held if it served, and only while a grace runs."""
    known, now_s = KnownWorkers(), 0.0
    for said, passed_s in course:
        now_s += passed_s
        before, known = known, reconcile(known, said, now_s=now_s)
        named = {w.id for w in said.workers}
        held = [w for w in known.workers if w.id not in named]
        assert {w for w in known.workers if w.id in named} == set(said.workers)
        assert all(w in before.workers and w.healthy for w in held)
        assert (known.held_until_s is not None) == bool(held)
        assert known.held_until_s is None or now_s <= known.held_until_s <= now_s + GRACE_S
        assert known.index == (0 if said.index < before.index else max(1, said.index))


@in_moderation
@given(sets, st.integers(2, 50))
def test_a_sound_answer_lets_go_at_once(before, index):
    """With a leader, an index that went on and somebody left, who is missing has left."""
    known = reconcile(KnownWorkers(), HealthAnswer(index - 1, before), now_s=0)
    rest = (worker(99),)
    assert reconcile(known, HealthAnswer(index, rest), now_s=1).workers == rest


def test_an_agent_that_lost_its_data_is_not_believed():
    """200, nobody, a lower index: the last set is held through the grace, and again until an answer is sound."""
    known = reconcile(KnownWorkers(), HealthAnswer(100, (worker(1),)), now_s=0)
    known = reconcile(known, HealthAnswer(5, ()), now_s=10)
    assert (known.workers, known.index, known.held_until_s) == ((worker(1),), 0, 10 + GRACE_S)
    assert reconcile(known, HealthAnswer(6, ()), now_s=20).workers == (worker(1),)
    assert reconcile(known, HealthAnswer(6, ()), now_s=25).workers == ()
    assert reconcile(known, HealthAnswer(6, (), current=False), now_s=25).workers == (worker(1),)


def test_who_said_goodbye_is_let_go():
    """A worker that was put into maintenance before it deregistered is not held."""
    known = reconcile(KnownWorkers(), HealthAnswer(1, (worker(1, MAINTENANCE),)), now_s=0)
    assert reconcile(known, HealthAnswer(2, ()), now_s=1) == KnownWorkers((), 2)


@in_moderation
@given(st.lists(sets, min_size=1, max_size=6))
def test_who_is_used(course):
    """Those that serve; all that ever did, if fewer than half of them still do; never one in maintenance."""
    eligible, proven = HealthFilter(), set()
    for workers in course:
        used = eligible.usable(workers)
        serving = {w.id for w in workers if w.healthy}
        proven = {w.id for w in workers if w.id in proven | serving}
        candidates = {w.id for w in workers if w.id in proven and w.health != MAINTENANCE}
        assert {w.id for w in used} == (candidates if 2 * len(serving) < len(candidates) else serving)
        assert all(w.healthy for w in used)


def entry(number=1, *, port=9000, checks=(), node="n1", **service):
    named = {"ID": f"w{number}", "Service": "classify", "Address": "", "Port": port, **service}
    return {"Node": {"Node": node, "Address": "10.0.0.9"}, "Service": named, "Checks": list(checks)}


def check(status, name="c"):
    return {"CheckID": name, "Status": status}


@pytest.mark.parametrize(
    ("checks", "health"),
    [
        ([], "passing"),
        ([check("passing"), check("warning")], "warning"),
        ([check("critical"), check("warning")], "critical"),
        ([check("critical", "_node_maintenance")], MAINTENANCE),
        ([check("critical", "_service_maintenance:w1")], MAINTENANCE),
        ([check("critical", "_service_maintenance:other")], "critical"),
    ],
)
def test_the_worst_check_counts(checks, health):
    """A worker is as healthy as the worst of its checks; maintenance is a word of its own."""
    (found,) = read_health({"X-Consul-Index": "1"}, [entry(checks=checks)]).workers
    assert (found.health, found.host) == (health, "10.0.0.9")


def test_entries_are_read():
    """Weights by health, boot and version from the meta, ids made unique across agents, no port no worker."""
    weights = {"Passing": 4, "Warning": 0}
    meta = {"boot": "b", "version": "2"}
    said = read_health(
        {"X-Consul-Index": "9", "X-Consul-KnownLeader": "true", "X-Consul-LastContact": "20000"},
        [
            entry(1, Weights=weights, Meta=meta),
            entry(1, node="n2", Weights=weights, checks=[check("warning")]),
            entry(2, port=0),
        ],
    )
    assert (said.index, said.current) == (9, False)
    assert [(w.id, w.weight, w.boot, w.version) for w in said.workers] == [("w1", 4, "b", "2"), ("w1@n2", 1, "", "")]


@pytest.mark.parametrize("headers", [{}, {"X-Consul-Index": "x"}])
def test_an_answer_without_an_index_is_not_consul_s(headers):
    """Where the header is missing or odd, somebody else answered."""
    with pytest.raises((ValueError, KeyError)):
        read_health(headers, [])
