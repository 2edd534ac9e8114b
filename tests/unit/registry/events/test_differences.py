"""Which events a transition between two snapshots brings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from registry.discovery.snapshot import Snapshot
from registry.discovery.transition import Transition
from registry.events.differences import events_in
from registry.events.event import Kind
from registry.instances.instance import Health, Instance, failed_meta

A = Instance("classify", "a", "10.0.0.1", 9001, version="3", tags=("version-3",), boot="b1")
OTHER = Instance("classify", "other", "10.0.0.2", 9001)
"""A healthy worker, so that one critical worker of two is no panic."""

CRITICAL = replace(A, health=Health.CRITICAL, output="HTTP GET http://10.0.0.1:9001/healthz: 503\nOutput: loading\n")
LOADING = replace(A, meta={"loading": "4"})
DRAINED = replace(A, health=Health.MAINTENANCE, output="new memory")


def snapshot(*instances: Instance, stale: bool = False, known: bool = True) -> Snapshot:
    proven = frozenset(instance.id for instance in instances)
    return Snapshot("classify", instances, stale=stale, known=known, proven=proven)


@pytest.mark.parametrize(
    ("before", "after", "kind", "text"),
    [
        ((), (A,), Kind.JOINED, "classify at 10.0.0.1:9001 has joined with version 3."),
        (
            (),
            (CRITICAL,),
            Kind.JOINED,
            "classify at 10.0.0.1:9001 has joined with version 3, critical: "
            "HTTP GET http://10.0.0.1:9001/healthz: 503 Output: loading.",
        ),
        ((A,), (), Kind.LEFT, "classify at 10.0.0.1:9001 has left."),
        ((DRAINED,), (), Kind.LEFT, "classify at 10.0.0.1:9001 has left in order."),
        ((CRITICAL,), (A,), Kind.HEALTHY, "classify at 10.0.0.1:9001 is healthy again."),
        ((A,), (DRAINED,), Kind.DRAINED, "classify at 10.0.0.1:9001 is drained: new memory."),
        ((DRAINED,), (A,), Kind.UNDRAINED, "classify at 10.0.0.1:9001 is not drained any more."),
        (
            (A,),
            (replace(A, boot="b2"),),
            Kind.JOINED,
            "classify at 10.0.0.1:9001 has joined as another process with version 3.",
        ),
        (
            (A,),
            (replace(A, meta={"loading": "4"}),),
            Kind.VERSION_LOADING,
            "classify at 10.0.0.1:9001 loads version 4.",
        ),
        (
            (LOADING,),
            (replace(A, meta=failed_meta("4", "Its weights\nare missing.")),),
            Kind.VERSION_FAILED,
            "classify at 10.0.0.1:9001 could not load version 4: Its weights are missing.",
        ),
        (
            (A,),
            (replace(A, tags=("version-3", "version-4")),),
            Kind.VERSION_LOADED,
            "classify at 10.0.0.1:9001 serves version 4.",
        ),
        (
            (replace(A, tags=("version-3", "version-2")),),
            (A,),
            Kind.VERSION_UNLOADED,
            "classify at 10.0.0.1:9001 does not serve version 2 any more.",
        ),
    ],
)
def test_each_change_of_a_worker_is_one_event(
    before: tuple[Instance, ...], after: tuple[Instance, ...], kind: Kind, text: str
) -> None:
    """It says what happened in one sentence, on one line, and names the worker."""
    (event,) = events_in(Transition(snapshot(*before, OTHER), snapshot(*after, OTHER)))
    assert (event.kind, event.text) == (kind, text)
    assert (event.service, event.worker, event.address) == ("classify", "a", "10.0.0.1:9001")


def test_panic_mode_begins_and_ends_with_an_event() -> None:
    """Of three workers two become critical: the events name them, and say that all three are handed out."""
    three = [replace(A, id=id_, port=9000 + number) for number, id_ in enumerate("abc")]
    few = [three[0], *(replace(each, health=Health.CRITICAL) for each in three[1:])]
    events = events_in(Transition(snapshot(*three), snapshot(*few)))
    assert [event.kind for event in events] == [Kind.CRITICAL, Kind.CRITICAL, Kind.PANIC_ON]
    assert events[-1].text == "Panic mode of classify: 1 of 3 healthy: all 3 are handed out."
    events = events_in(Transition(snapshot(*few), snapshot(*three)))
    assert [event.kind for event in events] == [Kind.HEALTHY, Kind.HEALTHY, Kind.PANIC_OFF]
    assert events[-1].text == "Panic mode of classify has ended: only healthy workers, 3, are handed out."


def test_a_snapshot_becomes_stale_and_is_confirmed_again() -> None:
    """Each is one event of the service; the first says why Consul could not be asked."""
    stale = Transition(snapshot(A), snapshot(A, stale=True), "Consul does not answer.", datacenter="dc2")
    (event,) = events_in(stale)
    text = "Consul does not answer. Serving the last good set of classify in dc2."
    assert (event.kind, event.text, event.worker) == (Kind.STALE, text, "")
    (event,) = events_in(Transition(snapshot(A, stale=True), snapshot(A)))
    assert (event.kind, event.text) == (Kind.FRESH, "Consul confirms classify again.")


def test_the_first_answer_is_one_event_however_many_workers_it_names() -> None:
    """Nobody has just joined when the lookup service starts."""
    (event,) = events_in(Transition(snapshot(known=False), snapshot(A, replace(CRITICAL, id="b"))))
    assert (event.kind, event.text) == (Kind.FRESH, "classify is followed from now on: 1 of 2 workers serve.")


def test_another_split_is_an_event_of_the_service() -> None:
    """Because it changes which workers get calls."""
    (event,) = events_in(Transition(snapshot(A), snapshot(A), split="the split is 3=90 4=10; shadows: none"))
    assert (event.kind, event.text) == (Kind.CONFIGURATION, "classify: the split is 3=90 4=10; shadows: none.")


def test_what_did_not_change_is_no_event() -> None:
    """Neither a new check output nor another weight is one."""
    assert events_in(Transition(snapshot(A), snapshot(replace(A, weight=2)))) == ()
    louder = replace(CRITICAL, output="still")
    assert events_in(Transition(snapshot(CRITICAL), snapshot(louder))) == ()
