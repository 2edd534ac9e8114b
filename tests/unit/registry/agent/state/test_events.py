"""Events: how many are kept, and whom a filter means."""

from __future__ import annotations

import pytest

from registry.agent.state.events import Event, Events, is_meant_for
from registry.agent.state.index import ChangeIndex
from registry.agent.state.records import Service

SERVICES = [Service("1", "classify", tags=("blue", "v2")), Service("2", "other", tags=("red",))]


def test_the_last_256_are_kept() -> None:
    """Older events make room for newer ones, in the order in which they were fired."""
    events = Events(ChangeIndex())
    for number in range(300):
        events.fire(Event(id=str(number), name="a" if number % 2 else "b"))
    assert [event.id for event in events.named("")] == [str(number) for number in range(44, 300)]
    assert [event.id for event in events.named("a")] == [str(number) for number in range(45, 300, 2)]
    assert [event.time for event in events.named("")] == sorted({event.time for event in events.named("")})


@pytest.mark.parametrize(
    ("node", "service", "tag", "meant"),
    [
        ("", "", "", True),
        ("^n1$", "", "", True),
        ("n2", "", "", False),
        ("", "class", "", True),
        ("", "^class$", "", False),
        ("", "classify", "blue", True),
        ("", "classify", "red", False),
        ("n1", "other|classify", "red", True),
    ],
)
def test_filters(node: str, service: str, tag: str, meant: bool) -> None:
    """Node, service and tag must match somewhere, the tag on a service that matches."""
    event = Event("1", "a", node_filter=node, service_filter=service, tag_filter=tag)
    assert is_meant_for(event, node="n1", services=SERVICES) == meant
