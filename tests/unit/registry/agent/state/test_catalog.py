"""The catalogue's bookkeeping under any sequence of writes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registry.agent.state.catalog import CHECKS, NODES, SERVICES, Catalog, CatalogChange, Key, Lost, service_topic
from registry.agent.state.index import ChangeIndex
from registry.agent.state.records import Check, Node, Service, Status

NAMES = st.sampled_from("abc")
NODE_NAMES = st.sampled_from(["n1", "n2"])
NODES_MADE = st.builds(Node, id=st.just(""), name=NODE_NAMES, address=st.sampled_from(["10.0.0.1", "10.0.0.2"]))
SERVICES_MADE = st.builds(Service, id=st.sampled_from("123"), name=NAMES, node=NODE_NAMES, port=st.integers(0, 2))
CHECKS_MADE = st.builds(
    lambda id, service, status, output: Check(
        id=id,
        name="n",
        node=service.node,
        status=status,
        output=output,
        service_id=service.id,
        service_name=service.name,
    ),
    st.sampled_from("xyz"),
    SERVICES_MADE,
    st.sampled_from(Status),
    st.sampled_from(["", "o"]),
)
WRITES = st.lists(
    st.builds(
        CatalogChange,
        nodes=st.lists(NODES_MADE, max_size=1),
        services=st.lists(SERVICES_MADE, max_size=2),
        checks=st.lists(CHECKS_MADE, max_size=2),
        removed_nodes=st.lists(NODE_NAMES, max_size=1),
        removed_services=st.lists(st.tuples(NODE_NAMES, st.sampled_from("123")), max_size=1),
        removed_checks=st.lists(st.tuples(NODE_NAMES, st.sampled_from("xyz")), max_size=1),
    ),
    max_size=12,
)


class Indexed(Catalog):
    """A catalogue with its index at hand."""

    def __init__(self) -> None:
        self.changes = ChangeIndex()
        super().__init__(self.changes)

    def write(
        self,
        *,
        nodes: list[Node] | None = None,
        services: list[Service] | None = None,
        checks: list[Check] | None = None,
        removed_nodes: list[str] | None = None,
        removed_services: list[Key] | None = None,
        compare_output: bool = False,
    ) -> Lost:
        return self.commit(
            CatalogChange(
                nodes=nodes or [],
                services=services or [],
                checks=checks or [],
                removed_nodes=removed_nodes or [],
                removed_services=removed_services or [],
                compare_output=compare_output,
            )
        )


def view(catalog: Catalog, name: str) -> object:
    """All that a watcher of a service would see, outputs left out."""
    return [
        (catalog.nodes.get(s.node), s, [c for c in catalog.checks_of(s.node, s.id) if c.service_name == name])
        for s in catalog.instances(name)
    ]


@given(WRITES)
def test_an_index_moves_with_what_it_stands_for(writes: list[CatalogChange]) -> None:
    """Indexes never go back, and a service's view changes only together with its index."""
    catalog = Indexed()
    for write in writes:
        before = {name: (catalog.service_index(name, with_checks=True), view(catalog, name)) for name in "abc"}
        last = catalog.changes.index
        catalog.commit(write)
        assert catalog.changes.index >= last
        for name, (index, seen) in before.items():
            now = catalog.service_index(name, with_checks=True)
            assert now >= index
            assert now > index or view(catalog, name) == seen


@given(WRITES)
def test_writing_it_again_changes_nothing(writes: list[CatalogChange]) -> None:
    """A write of what is already there takes no index."""
    catalog = Indexed()
    for write in writes:
        catalog.commit(write)
    before = catalog.changes.index
    catalog.write(
        nodes=list(catalog.nodes.values()),
        services=list(catalog.services.values()),
        checks=list(catalog.checks.values()),
    )
    assert catalog.changes.index == before


def test_a_check_of_the_node_concerns_every_service() -> None:
    """A change of a check without a service raises the index of all services."""
    catalog = Indexed()
    catalog.write(services=[Service(id="1", name="a"), Service(id="2", name="b")])
    catalog.write(checks=[Check(id="x", name="n")])
    indexes = {catalog.service_index(name, with_checks=True) for name in "ab"}
    assert indexes == {catalog.changes.index} == {catalog.changes.at(CHECKS)}
    assert catalog.changes.at(SERVICES) < catalog.changes.index


def test_the_last_instance_leaves_an_index_behind() -> None:
    """When the last instance goes, its watchers are told by a higher index, and the topic is forgotten."""
    catalog = Indexed()
    catalog.write(services=[Service(id="1", name="a")])
    before = catalog.service_index("a", with_checks=True)
    catalog.write(removed_services=[("", "1")])
    assert catalog.service_index("a", with_checks=True) == catalog.changes.index > before
    assert catalog.changes.at(service_topic("a")) == 0


def test_an_output_alone_takes_no_index() -> None:
    """A new output is kept, but moves no index."""
    catalog = Indexed()
    catalog.write(checks=[Check(id="x", name="n", output="1")])
    index, version = catalog.changes.index, catalog.changes.version
    catalog.write(checks=[Check(id="x", name="n", output="2")])
    assert (catalog.checks["", "x"].output, catalog.changes.index) == ("2", index)
    assert catalog.changes.version > version


def test_a_direct_write_compares_outputs() -> None:
    """Where a client writes into the catalogue itself, a new output is a change."""
    catalog = Indexed()
    catalog.write(checks=[Check(id="x", name="n", output="1")])
    index = catalog.changes.index
    catalog.write(checks=[Check(id="x", name="n", output="2")], compare_output=True)
    assert catalog.changes.index == index + 1


def test_with_a_node_goes_all_that_is_on_it() -> None:
    """A removed node takes its services and checks with it, and no other node's; what is lost is named."""
    catalog = Indexed()
    for name in ("n1", "n2"):
        catalog.write(
            nodes=[Node(id="", name=name, address="10.0.0.1")],
            services=[Service(id="1", name="a", node=name)],
            checks=[Check(id="x", name="n", node=name, service_id="1", service_name="a")],
        )
    lost = catalog.write(removed_nodes=["n1"])
    assert lost == Lost(frozenset({("n1", "x")}), frozenset({"n1"}))
    assert (list(catalog.nodes), list(catalog.services), list(catalog.checks)) == (["n2"], [("n2", "1")], [("n2", "x")])
    assert catalog.changes.at(NODES) == catalog.service_index("a", with_checks=True) == catalog.changes.index


def test_what_is_lost_by_a_change() -> None:
    """Checks that turn critical or go with their service are lost; one that was critical before is not again."""
    catalog = Indexed()
    service = Service(id="1", name="a", node="n1")
    check = Check(id="x", name="n", node="n1", status=Status.PASSING, service_id="1", service_name="a")
    assert catalog.write(services=[service], checks=[check]) == Lost()
    critical = Check(id="x", name="n", node="n1", service_id="1", service_name="a")
    assert catalog.write(checks=[critical]).checks == {("n1", "x")}
    assert catalog.write(checks=[critical]) == Lost()
    assert catalog.write(removed_services=[("n1", "1")]).checks == {("n1", "x")}


@given(WRITES, WRITES)
def test_an_undo_restores_everything(before: list[CatalogChange], after: list[CatalogChange]) -> None:
    """Whatever is written after an undo was made, the undo brings back what was there."""
    catalog = Indexed()
    for write in before:
        catalog.commit(write)
    state = dict(catalog.nodes), dict(catalog.services), dict(catalog.checks), view(catalog, "a")
    undo = catalog.undo()
    for write in after:
        catalog.commit(write)
    undo()
    assert (catalog.nodes, catalog.services, catalog.checks, view(catalog, "a")) == state
    catalog.commit(CatalogChange(removed_services=list(catalog.services)))
    assert catalog.instances("a") == []
