"""The state store: what a change does to several tables at once, and what time does to sessions and locks."""

from __future__ import annotations

import pytest

from registry.agent.errors import ApiError
from registry.agent.state.catalog import CatalogChange
from registry.agent.state.coordinates import Coordinate
from registry.agent.state.kv import Pair
from registry.agent.state.records import Check, Node, Service, Status
from registry.agent.state.sessions import Session
from registry.agent.state.store import OWN_CHECK_ID, StateStore

SESSION_ID = "00000000-0000-0000-0000-000000000001"
OTHER_ID = "00000000-0000-0000-0000-000000000002"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> StateStore:
    return StateStore(node=Node(id="0", name="own", address="127.0.0.1"), port=1, version="0", clock=clock)


def session(**fields: object) -> Session:
    return Session(**{"id": SESSION_ID, "node": "own", "lock_delay_s": 0.0} | fields)  # type: ignore[arg-type]  # the test's own fields


def held(store: StateStore, key: str) -> str:
    pair = store.keys.get(key)
    assert pair
    return pair.session


def test_it_begins_with_the_own_node(store: StateStore) -> None:
    """A new store holds the agent's node, its service, its check and its coordinate, as one change."""
    assert list(store.catalog.nodes) == ["own"]
    assert [key[1] for key in (*store.catalog.services, *store.catalog.checks)] == ["consul", OWN_CHECK_ID]
    assert store.coordinates.all() == [("own", "", Coordinate())]
    assert store.catalog.nodes["own"].created == store.coordinates.index() == store.changes.index


def test_a_session_lives_twice_its_time_to_live(store: StateStore, clock: Clock) -> None:
    """It expires when it was not renewed for twice as long as its client asked for, and not before."""
    store.create_session(session(ttl="10s", ttl_s=10.0))
    store.create_session(session(id=OTHER_ID))
    clock.now_s += 19
    assert store.sessions.expired() == []
    store.sessions.renew(SESSION_ID)
    clock.now_s += 19
    assert store.sessions.expired() == []
    clock.now_s += 1
    assert store.sessions.expired() == [SESSION_ID]
    store.end_session(SESSION_ID)
    assert (store.sessions.expired(), [s.id for s in store.sessions.all()]) == ([], [OTHER_ID])


@pytest.mark.parametrize(("asked_s", "kept_s"), [(15.0, 15.0), (0.0, 0.0), (3600.0, 60.0)])
def test_a_lock_delay_ends(store: StateStore, clock: Clock, asked_s: float, kept_s: float) -> None:
    """A key stays unlockable for the lock delay of the session that held it, a minute at most."""
    store.create_session(session(lock_delay_s=asked_s))
    store.create_session(session(id=OTHER_ID))
    assert store.acquire("k", b"", flags=0, session=SESSION_ID)
    store.end_session(SESSION_ID)
    if kept_s:
        clock.now_s += kept_s - 1
        assert not store.acquire("k", b"", flags=0, session=OTHER_ID)
        clock.now_s += 1
    assert store.acquire("k", b"", flags=0, session=OTHER_ID)


def test_a_release_by_the_client_has_no_delay(store: StateStore) -> None:
    """A key that its session released may be locked at once."""
    store.create_session(session(lock_delay_s=15.0))
    store.create_session(session(id=OTHER_ID))
    assert store.acquire("k", b"", flags=0, session=SESSION_ID)
    assert store.release("k", b"", flags=0, session=SESSION_ID)
    assert store.acquire("k", b"", flags=0, session=OTHER_ID)


@pytest.mark.parametrize(
    "change",
    [
        CatalogChange(checks=[Check("c", "c", "n1", service_id="s", service_name="s")]),
        CatalogChange(removed_checks=[("n1", "c")]),
        CatalogChange(removed_services=[("n1", "s")]),
        CatalogChange(removed_nodes=["n1"]),
    ],
    ids=["the check turns critical", "the check goes", "its service goes", "the node goes"],
)
@pytest.mark.parametrize("behavior", ["release", "delete"])
def test_what_ends_a_session(store: StateStore, change: CatalogChange, behavior: str) -> None:
    """The loss of what a session depends on ends it, and lets go of its keys, in the same change."""
    store.ensure_node(Node(id="", name="n1", address="a"))
    store.ensure_service(Service("s", "s", "n1"))
    store.ensure_check(Check("c", "c", "n1", Status.PASSING, service_id="s"))
    store.create_session(session(node="n1", service_checks=(("c", ""),), behavior=behavior))
    store.create_session(session(id=OTHER_ID))
    for key, holder in (("mine", SESSION_ID), ("other", OTHER_ID)):
        assert store.acquire(key, b"v", flags=0, session=holder)
    store.commit(change)
    assert [s.id for s in store.sessions.all()] == [OTHER_ID]
    assert held(store, "other") == OTHER_ID
    if behavior == "delete":
        assert store.keys.get("mine") is None
    else:
        assert store.keys.get("mine") == Pair("mine", b"v", lock_index=1)
    assert store.keys.index_under("") == store.sessions.index() == store.changes.index


def test_an_exception_takes_a_transaction_back(store: StateStore) -> None:
    """After it all tables, the index and lock delays are as they were."""
    store.create_session(session(lock_delay_s=15.0))
    assert store.acquire("k", b"", flags=0, session=SESSION_ID)
    index = store.changes.index

    def write_and_fail() -> None:
        with store.transaction():
            store.commit(CatalogChange(removed_nodes=["own"]))
            store.keys.put("new", b"")
            assert store.sessions.all() == []
            raise ApiError(500, "too late")

    with pytest.raises(ApiError):
        write_and_fail()
    assert list(store.catalog.nodes) == ["own"]
    assert [s.id for s in store.sessions.all()] == [SESSION_ID]
    assert (store.keys.get("new"), held(store, "k"), store.changes.index) == (None, SESSION_ID, index)
    assert not store.keys.in_lock_delay("k")
    assert store.coordinates.all()


def test_a_node_that_has_gone_has_no_coordinate(store: StateStore) -> None:
    """Coordinates go with their node."""
    store.ensure_node(Node(id="", name="n1", address="a"))
    store.coordinates.set("n1", "", Coordinate(height=1.0))
    store.commit(CatalogChange(removed_nodes=["n1"]))
    assert [entry[0] for entry in store.coordinates.all()] == ["own"]
