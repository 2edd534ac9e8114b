"""Nearest first: the order of instances by the network coordinates of their nodes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from registry.backend.coordinate import Coordinate
from registry.consul.errors import ConsulUnavailable
from registry.discovery import nearness as module
from registry.discovery.nearness import Nearness, UnknownNode
from registry.instances.instance import Instance


class Coordinates:
    """A catalog with the coordinates of three nodes on a line; `away` while Consul does not answer."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0

    async def coordinates(self) -> Mapping[str, Coordinate]:
        self.asked += 1
        if self.away:
            raise ConsulUnavailable("away")
        return {"a": Coordinate((0.0,)), "b": Coordinate((0.0102,)), "c": Coordinate((0.05,))}

    async def node_name(self) -> str:
        return "c"


def worker(port: int, node: str) -> Instance:
    return Instance("cats", f"{node}-{port}", "10.0.0.1", port, node=node)


WORKERS = [worker(1, "c"), worker(2, "unknown"), worker(3, "b"), worker(4, "a"), worker(5, "b")]


@pytest.mark.parametrize(
    ("near", "ports"), [("a", [4, 3, 3, 1, 2]), ("c", [1, 3, 3, 4, 2]), ("_agent", [1, 3, 3, 4, 2])]
)
async def test_nearer_nodes_come_first(near: str, ports: list[int]) -> None:
    """Equally near workers take turns at random; one whose node has no coordinate comes last."""
    nearness = Nearness(Coordinates())  # type: ignore[arg-type]  # a fake
    orders = [await nearness.nearest_first(WORKERS, near) for _ in range(40)]
    assert {tuple(3 if i.port == 5 else i.port for i in order) for order in orders} == {tuple(ports)}
    assert {instance.port for order in orders for instance in order[1:3]} >= {3, 5}


async def test_a_node_without_a_coordinate_is_an_error() -> None:
    """The error names the nodes that there are."""
    with pytest.raises(UnknownNode) as error:
        await Nearness(Coordinates()).nearest_first(WORKERS, "d")  # type: ignore[arg-type]  # a fake
    assert error.value.known == ["a", "b", "c"]


async def test_coordinates_are_kept_while_consul_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked for once in a while; without an answer the last ones are used, and without any it is an error."""
    catalog = Coordinates()
    nearness = Nearness(catalog)  # type: ignore[arg-type]  # a fake
    for _ in range(3):
        await nearness.nearest_first(WORKERS, "a")
    assert catalog.asked == 1
    monkeypatch.setattr(module, "KEPT_S", 0.0)
    nearness = Nearness(catalog)  # type: ignore[arg-type]  # a fake
    await nearness.nearest_first(WORKERS, "a")
    catalog.away = True
    assert len(await nearness.nearest_first(WORKERS, "a")) == 5
    with pytest.raises(ConsulUnavailable):
        await Nearness(catalog).nearest_first(WORKERS, "a")  # type: ignore[arg-type]  # a fake
