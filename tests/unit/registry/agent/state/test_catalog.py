"""The catalogue's bookkeeping under any sequence of writes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registry.agent.state.catalog import CHECKS, SERVICES, Store, service_topic
from registry.agent.state.records import Check, Node, Service, Status

NAMES = st.sampled_from("abc")
SERVICES_MADE = st.builds(Service, id=st.sampled_from("123"), name=NAMES, port=st.integers(0, 2))
CHECKS_MADE = st.builds(
    lambda id, service, status, output: Check(
        id=id, name="n", status=status, output=output, service_id=service.id, service_name=service.name
    ),
    st.sampled_from("xyz"),
    SERVICES_MADE,
    st.sampled_from(Status),
    st.sampled_from(["", "o"]),
)
WRITES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "services": st.lists(SERVICES_MADE, max_size=2),
            "checks": st.lists(CHECKS_MADE, max_size=2),
            "gone_services": st.lists(st.sampled_from("123"), max_size=1),
            "gone_checks": st.lists(st.sampled_from("xyz"), max_size=1),
        },
    ),
    max_size=12,
)


def empty_store() -> Store:
    return Store(node=Node(id="0", name="n", address="127.0.0.1"), port=1, version="0")


def view(store: Store, name: str) -> object:
    """All that a watcher of a service would see, outputs left out."""
    instances = store.instances(name)
    return [(s, [c for c in store.checks_of(s.id) if c.service_name == name]) for s in instances]


@given(WRITES)
def test_an_index_moves_with_what_it_stands_for(writes: list[dict[str, list[object]]]) -> None:
    """Indexes never go back, and a service's view changes only together with its index."""
    store = empty_store()
    for write in writes:
        before = {name: (store.service_index(name, with_checks=True), view(store, name)) for name in "abc"}
        last = store.changes.index
        store.commit(**write)  # type: ignore[arg-type]  # hypothesis made the right ones
        assert store.changes.index >= last
        for name, (index, seen) in before.items():
            now = store.service_index(name, with_checks=True)
            assert now >= index
            assert now > index or view(store, name) == seen


@given(WRITES)
def test_writing_it_again_changes_nothing(writes: list[dict[str, list[object]]]) -> None:
    """A write of what is already there takes no index."""
    store = empty_store()
    for write in writes:
        store.commit(**write)  # type: ignore[arg-type]  # hypothesis made the right ones
    before = store.changes.index
    store.commit(services=list(store.services.values()), checks=list(store.checks.values()))
    assert store.changes.index == before


def test_a_check_of_the_node_concerns_every_service() -> None:
    """A change of a check without a service raises the index of all services."""
    store = empty_store()
    store.commit(services=[Service(id="1", name="a"), Service(id="2", name="b")])
    store.commit(checks=[Check(id="x", name="n")])
    indexes = {store.service_index(name, with_checks=True) for name in "ab"}
    assert indexes == {store.changes.index} == {store.changes.at(CHECKS)}
    assert store.changes.at(SERVICES) < store.changes.index


def test_the_last_instance_leaves_an_index_behind() -> None:
    """When the last instance goes, its watchers are told by a higher index, and the topic is forgotten."""
    store = empty_store()
    store.commit(services=[Service(id="1", name="a")])
    before = store.service_index("a", with_checks=True)
    store.commit(gone_services=["1"])
    assert store.service_index("a", with_checks=True) == store.changes.index > before
    assert store.changes.at(service_topic("a")) == 0


def test_an_output_alone_takes_no_index() -> None:
    """A new output is kept, but moves no index."""
    store = empty_store()
    store.commit(checks=[Check(id="x", name="n", output="1")])
    index, version = store.changes.index, store.changes.version
    store.commit(checks=[Check(id="x", name="n", output="2")])
    assert (store.checks["x"].output, store.changes.index) == ("2", index)
    assert store.changes.version > version
