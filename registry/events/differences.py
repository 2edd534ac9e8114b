"""Finds the events in a transition of a service from one snapshot to the next. Pure.

A worker's registration says in its meta which version it loads (`loading`) and which failed (`failed-N`, with the
sentence); its version tags say which it serves (worker/server/model_endpoint.py writes both).
"""

from __future__ import annotations

from collections.abc import Iterator

from registry.discovery.snapshot import Snapshot
from registry.discovery.transition import Transition
from registry.events.event import Event, Kind
from registry.instances.instance import Health, Instance

OUTPUT_CHARACTERS = 300
"""How much of a check's output, or of a version's error, a sentence repeats."""


def events_in(transition: Transition) -> tuple[Event, ...]:
    """What happened from `old` to `new`: to each worker by its id, then to the service as a whole."""
    old, new = transition.old, transition.new
    name = f"{new.service} in {transition.datacenter}" if transition.datacenter else new.service
    if transition.split:
        return (Event(Kind.CONFIGURATION, f"{name}: {transition.split}.", service=new.service),)
    if not old.known and new.known:
        return (*_first(new, name), *_panic(old, new, name), *_stale(transition, name))
    before = {instance.id: instance for instance in old.instances}
    after = {instance.id: instance for instance in new.instances}
    workers = [event for id_ in sorted(before | after) for event in _worker(before.get(id_), after.get(id_))]
    return (*workers, *_panic(old, new, name), *_stale(transition, name))


def _first(new: Snapshot, name: str) -> Iterator[Event]:
    """Following begins with one event, because nobody has just joined."""
    serving, count = len(new.serving), len(new.instances)
    yield Event(Kind.FRESH, f"{name} is followed from now on: {serving} of {count} workers serve.", service=new.service)


def _worker(old: Instance | None, new: Instance | None) -> Iterator[Event]:
    if new is None:
        assert old is not None, "a worker is in one of the snapshots"
        was = {Health.CRITICAL: ", critical until now", Health.MAINTENANCE: " in order"}
        yield _event(Kind.LEFT, old, f"has left{was.get(old.health, '')}.")
    elif old is None:
        health = "" if new.health.serving else f", {new.health.value}{_why(new)}"
        yield _event(Kind.JOINED, new, f"has joined{_with_version(new)}{health}.", version=new.version)
    elif old.boot != new.boot or old.address != new.address:
        yield _event(Kind.JOINED, new, f"has joined as another process{_with_version(new)}.", version=new.version)
    else:
        yield from _health(old, new)
        yield from _versions(old, new)


def _health(old: Instance, new: Instance) -> Iterator[Event]:
    drained, was_drained = (each.health is Health.MAINTENANCE for each in (new, old))
    if drained and not was_drained:
        yield _event(Kind.DRAINED, new, f"is drained{_why(new)}.")
    if was_drained and not drained:
        yield _event(Kind.UNDRAINED, new, "is not drained any more.")
    if new.health is Health.CRITICAL and old.health is not Health.CRITICAL:
        yield _event(Kind.CRITICAL, new, f"is critical{_why(new)}.")
    if old.health is Health.CRITICAL and new.health.serving:
        yield _event(Kind.HEALTHY, new, "is healthy again.")


def _versions(old: Instance, new: Instance) -> Iterator[Event]:
    if new.loading and new.loading != old.loading:
        yield _event(Kind.VERSION_LOADING, new, f"loads version {new.loading}.", version=new.loading)
    for version in sorted(new.versions - old.versions):
        yield _event(Kind.VERSION_LOADED, new, f"serves version {version}.", version=version)
    for version in sorted(old.versions - new.versions):
        yield _event(Kind.VERSION_UNLOADED, new, f"does not serve version {version} any more.", version=version)
    for version, error in sorted(new.failed_versions.items()):
        if old.failed_versions.get(version) != error:
            why = f"could not load version {version}: {_one_line(error)}"
            yield _event(Kind.VERSION_FAILED, new, f"{why.rstrip('.')}.", version=version)


def _panic(old: Snapshot, new: Snapshot, name: str) -> Iterator[Event]:
    panic = new.panic
    if panic is not None and old.panic is None:
        text = f"Panic mode of {name}: {panic.healthy} of {panic.total} healthy: all {panic.total} are handed out."
        yield Event(Kind.PANIC_ON, text, service=new.service)
    elif panic is None and old.panic is not None:
        text = f"Panic mode of {name} has ended: only healthy workers, {len(new.eligible)}, are handed out."
        yield Event(Kind.PANIC_OFF, text, service=new.service)


def _stale(transition: Transition, name: str) -> Iterator[Event]:
    old, new = transition.old, transition.new
    if new.stale and not old.stale:
        doubt = f"What {transition.product} says cannot be relied on: it has no leader, or hides something."
        why = transition.trouble or doubt
        consequence = "Serving the last good set of" if new.known else "There is no earlier set of"
        yield Event(Kind.STALE, f"{why} {consequence} {name}.", service=new.service)
    elif old.stale and not new.stale and old.known:
        yield Event(Kind.FRESH, f"{transition.product} confirms {name} again.", service=new.service)


def _event(kind: Kind, instance: Instance, happened: str, *, version: str = "") -> Event:
    text = f"{instance.service} at {instance.address} {happened}"
    return Event(kind, text, instance.service, instance.id, instance.address, version)


def _with_version(instance: Instance) -> str:
    return f" with version {instance.version}" if instance.version else ""


def _why(instance: Instance) -> str:
    said = _one_line(instance.output).rstrip(".")
    return f": {said}" if said else ""


def _one_line(text: str) -> str:
    """The beginning of a text of several lines, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= OUTPUT_CHARACTERS else f"{line[:OUTPUT_CHARACTERS]}..."
