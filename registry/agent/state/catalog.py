"""The catalogue: nodes, their services and their checks, changed in one place and read with an index.

Every change goes through `commit`, which compares first: writing what is already there changes no
index and wakes no client. Reads say at which index their result last changed, as Consul's tables do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

from registry.agent.state.index import ChangeIndex, Topic, Undo
from registry.agent.state.records import Check, Node, Service, Status

NODES: Topic = ("nodes", "")
SERVICES: Topic = ("services", "")
CHECKS: Topic = ("checks", "")
NODE_SERVICES: Topic = ("nodes and services", "")
_EXTINCTIONS: Topic = ("extinctions", "")

Key = tuple[str, str]
"""A node's name, and the id of a service or check on it."""

_Record = TypeVar("_Record", Node, Service, Check)


def service_topic(name: str) -> Topic:
    """The topic of all instances of a service and of their checks."""
    return ("service", name)


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """What is to be written and what to be removed.

    With a node go its services and checks, with a service its checks. A check whose output alone is new is no
    change, unless `compare_output`.
    """

    nodes: Collection[Node] = ()
    services: Collection[Service] = ()
    checks: Collection[Check] = ()
    removed_nodes: Collection[str] = ()
    removed_services: Collection[Key] = ()
    removed_checks: Collection[Key] = ()
    compare_output: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """What a change took from those who depend on it: checks now critical or removed, and nodes removed."""

    checks: frozenset[Key] = frozenset()
    nodes: frozenset[str] = frozenset()


class Catalog:
    """Nodes by name; services and checks by node and id. Read the dictionaries; write through `commit` only."""

    def __init__(self, changes: ChangeIndex) -> None:
        self._changes = changes
        self.nodes: dict[str, Node] = {}
        self.services: dict[Key, Service] = {}
        self.checks: dict[Key, Check] = {}
        self._named = _Grouping()
        self._owned = _Grouping()

    def commit(self, change: CatalogChange) -> Lost:
        """Remove and write as one change with one index, and wake those concerned; nothing new, no index."""
        new_nodes = [n for n in change.nodes if self.nodes.get(n.name) != n]
        new_services = [s for s in change.services if self.services.get((s.node, s.id)) != s]
        new_checks = [c for c in change.checks if not self._keep(c, change.compare_output)]
        old_nodes = [self.nodes[name] for name in set(change.removed_nodes) if name in self.nodes]
        old_services = self._removed_services(change.removed_nodes, change.removed_services)
        old_checks = self._removed_checks(change.removed_nodes, old_services, change.removed_checks)
        if not (new_nodes or new_services or new_checks or old_nodes or old_services or old_checks):
            return Lost()
        self._changes.version += 1
        index = self._changes.next_index()
        topics = self._topics(
            chain(new_nodes, old_nodes), chain(new_services, old_services), chain(new_checks, old_checks)
        )
        self._remove(old_nodes, old_services, old_checks)
        self._write(new_nodes, new_services, new_checks, index)
        self._changes.announce(topics)
        self._mark_extinct(topics)
        failed = (c for c in new_checks if c.status == Status.CRITICAL)
        return Lost(
            frozenset((c.node, c.id) for c in chain(failed, old_checks)), frozenset(node.name for node in old_nodes)
        )

    def _removed_services(self, nodes: Collection[str], keys: Iterable[Key]) -> list[Service]:
        of_nodes = (key for key in self.services if key[0] in nodes) if nodes else ()
        return [self.services[key] for key in {*keys, *of_nodes} if key in self.services]

    def _removed_checks(self, nodes: Collection[str], services: Iterable[Service], keys: Iterable[Key]) -> list[Check]:
        of_nodes = (key for key in self.checks if key[0] in nodes) if nodes else ()
        of_services = (key for service in services for key in self._owned.keys((service.node, service.id)))
        return [self.checks[key] for key in {*keys, *of_nodes, *of_services} if key in self.checks]

    def _remove(self, nodes: Iterable[Node], services: Iterable[Service], checks: Iterable[Check]) -> None:
        for node in nodes:
            del self.nodes[node.name]
        for service in services:
            key = service.node, service.id
            del self.services[key]
            self._named.move(key, service.name, None)
        for check in checks:
            key = check.node, check.id
            del self.checks[key]
            self._owned.move(key, (check.node, check.service_id), None)

    def _write(self, nodes: Iterable[Node], services: Iterable[Service], checks: Iterable[Check], index: int) -> None:
        for node in nodes:
            self.nodes[node.name] = _stamped(node, self.nodes.get(node.name), index)
        for service in services:
            key = service.node, service.id
            old = self.services.get(key)
            self.services[key] = _stamped(service, old, index)
            self._named.move(key, old.name if old else None, service.name)
        for check in checks:
            key = check.node, check.id
            before = self.checks.get(key)
            self.checks[key] = _stamped(check, before, index)
            self._owned.move(key, (before.node, before.service_id) if before else None, (check.node, check.service_id))

    def _keep(self, check: Check, compare_output: bool) -> bool:
        """Take over the output of a check that is otherwise as it was: Consul wakes no client for that."""
        old = self.checks.get((check.node, check.id))
        if old is None or old != check or (compare_output and old.output != check.output):
            return False
        if old.output != check.output:
            self._changes.version += 1
        self.checks[check.node, check.id] = replace(check, created=old.created, modified=old.modified)
        return True

    def _topics(self, nodes: Iterable[Node], services: Iterable[Service], checks: Iterable[Check]) -> set[Topic]:
        """All that a change of these concerns, what they were before included."""
        topics: set[Topic] = set()
        for node in nodes:
            topics |= {NODES, NODE_SERVICES, *self._services_on(node.name)}
        for service in services:
            before = self.services.get((service.node, service.id), service)
            topics |= {SERVICES, NODE_SERVICES, service_topic(service.name), service_topic(before.name)}
        for check in checks:
            before_check = self.checks.get((check.node, check.id), check)
            topics |= {CHECKS, *self._watched_by(check), *self._watched_by(before_check)}
        return topics

    def _watched_by(self, check: Check) -> set[Topic]:
        """A service's check concerns that service; a check of a node concerns every service on it."""
        return {service_topic(check.service_name)} if check.service_id else self._services_on(check.node)

    def _services_on(self, node: str) -> set[Topic]:
        return {service_topic(service.name) for key, service in self.services.items() if key[0] == node}

    def _mark_extinct(self, topics: Iterable[Topic]) -> None:
        for topic in topics:
            if topic[0] == "service" and topic[1] not in self._named:
                self._changes.forget(topic)
                self._changes.announce([_EXTINCTIONS])

    def find_node(self, name_or_id: str) -> Node | None:
        """The node with that name, or with that id, or None."""
        by_name = self.nodes.get(name_or_id)
        if by_name or not name_or_id:
            return by_name
        return next((node for node in self.nodes.values() if node.id == name_or_id), None)

    def instances(self, name: str) -> list[Service]:
        """The instances of a service, by node and id."""
        return [self.services[key] for key in self._named.keys(name)]

    def services_on(self, node: str) -> list[Service]:
        """The services of a node, by id."""
        return [service for key, service in sorted(self.services.items()) if key[0] == node]

    def checks_of(self, node: str, service_id: str) -> list[Check]:
        """The checks of one instance, by id; with an empty id, those of the node."""
        return [self.checks[key] for key in self._owned.keys((node, service_id))]

    def service_index(self, name: str, *, with_checks: bool) -> int:
        """When a service or its checks last changed.

        Of a service that has no instances, Consul says when any service last lost its last one, and
        if none ever did, when the catalogue last changed.
        """
        changes = self._changes
        known = changes.at(service_topic(name)) or changes.at(_EXTINCTIONS)
        return known or self.index(with_checks=with_checks)

    def index(self, *, with_checks: bool) -> int:
        """When any node or service (or check) last changed."""
        at = self._changes.at
        return max(at(NODE_SERVICES), at(CHECKS) if with_checks else 0)

    def undo(self) -> Undo:
        """What puts the catalogue back to its present state."""
        nodes, services, checks = dict(self.nodes), dict(self.services), dict(self.checks)
        named, owned = self._named.copy(), self._owned.copy()

        def restore() -> None:
            self.nodes, self.services, self.checks = nodes, services, checks
            self._named, self._owned = named, owned

        return restore


class _Grouping:
    """Keys by what they have in common: services by name, checks by the service they belong to."""

    def __init__(self, groups: dict[object, set[Key]] | None = None) -> None:
        self._groups = groups or {}

    def move(self, key: Key, old: object, new: object) -> None:
        """Take a key out of its old group and put it into its new one; None is no group."""
        if old is not None:
            self._groups[old].discard(key)
            if not self._groups[old]:
                del self._groups[old]
        if new is not None:
            self._groups.setdefault(new, set()).add(key)

    def __contains__(self, group: object) -> bool:
        return group in self._groups

    def keys(self, group: object) -> list[Key]:
        """The keys of a group, in order."""
        return sorted(self._groups.get(group, ()))

    def copy(self) -> _Grouping:
        """A grouping of its own with the same keys."""
        return _Grouping({group: set(keys) for group, keys in self._groups.items()})


def _stamped(new: _Record, old: _Record | None, index: int) -> _Record:
    return replace(new, created=old.created if old else index, modified=index)
