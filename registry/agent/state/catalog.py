"""The catalogue: one node, its services and checks, changed in one place and read with an index.

Every change goes through `commit`, which compares first: writing what is already there changes no
index and wakes nobody. Reads say at which index their answer last changed, as Consul's tables do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import chain
from typing import TypeVar

from registry.agent.state.index import Changes, Topic
from registry.agent.state.records import Check, Node, Service, Status

NODES: Topic = ("nodes", "")
SERVICES: Topic = ("services", "")
CHECKS: Topic = ("checks", "")
_EXTINCTIONS: Topic = ("extinctions", "")

_Record = TypeVar("_Record", Service, Check)

# The agent's own entries in the catalogue, as every Consul server has them; nobody may change them.
OWN_SERVICE_ID = "consul"
OWN_CHECK_ID = "serfHealth"


def service_topic(name: str) -> Topic:
    """The topic of all instances of a service and of their checks."""
    return ("service", name)


class _Groups:
    """Ids by what they have in common: services by name, checks by service."""

    def __init__(self) -> None:
        self._ids: dict[str, set[str]] = {}

    def move(self, one: str, old: str | None, new: str | None) -> None:
        """Take an id out of its old group, if any, and put it into its new one, if any."""
        if old is not None:
            self._ids[old].discard(one)
            if not self._ids[old]:
                del self._ids[old]
        if new is not None:
            self._ids.setdefault(new, set()).add(one)

    def ids(self, group: str) -> list[str]:
        """The ids of a group, in order."""
        return sorted(self._ids.get(group, ()))


class Store:
    """Services and checks of one node, by id. Read the dictionaries; write through `commit` only."""

    def __init__(self, *, node: Node, port: int, version: str) -> None:
        self.node = node
        self.changes = Changes()
        self.services: dict[str, Service] = {}
        self.checks: dict[str, Check] = {}
        self._named = _Groups()
        self._owned = _Groups()
        self.commit(
            services=[Service(id=OWN_SERVICE_ID, name=OWN_SERVICE_ID, port=port, meta={"version": version})],
            checks=[
                Check(
                    id=OWN_CHECK_ID,
                    name="Serf Health Status",
                    status=Status.PASSING,
                    output="Agent alive and reachable",
                )
            ],
        )
        self.changes.announce([NODES])
        self.node_index = self.changes.index

    def commit(
        self,
        *,
        services: Iterable[Service] = (),
        checks: Iterable[Check] = (),
        gone_services: Collection[str] = (),
        gone_checks: Collection[str] = (),
    ) -> None:
        """Remove and write as one change with one index, and wake those concerned; nothing new, no index."""
        new_services = [s for s in services if self.services.get(s.id) != s]
        new_checks = [c for c in checks if not self._keep(c)]
        old_services = [self.services[i] for i in set(gone_services) if i in self.services]
        old_checks = [self.checks[i] for i in set(gone_checks) if i in self.checks]
        if not (new_services or new_checks or old_services or old_checks):
            return
        self.changes.version += 1
        index = self.changes.next_index()
        topics = self._topics(chain(new_services, old_services), chain(new_checks, old_checks))
        self._remove(old_services, old_checks)
        self._write(new_services, new_checks, index)
        self.changes.announce(topics)
        self._mark_extinct(topics)

    def _remove(self, services: Iterable[Service], checks: Iterable[Check]) -> None:
        for service in services:
            del self.services[service.id]
            self._named.move(service.id, service.name, None)
        for check in checks:
            del self.checks[check.id]
            self._owned.move(check.id, check.service_id, None)

    def _write(self, services: Iterable[Service], checks: Iterable[Check], index: int) -> None:
        for service in services:
            old = self.services.get(service.id)
            self.services[service.id] = _stamped(service, old, index)
            self._named.move(service.id, old.name if old else None, service.name)
        for check in checks:
            before = self.checks.get(check.id)
            self.checks[check.id] = _stamped(check, before, index)
            self._owned.move(check.id, before.service_id if before else None, check.service_id)

    def _keep(self, check: Check) -> bool:
        """Take over the output of a check that is otherwise as it was: Consul wakes nobody for that."""
        old = self.checks.get(check.id)
        if old is None or old != check:
            return False
        if old.output != check.output:
            self.changes.version += 1
        self.checks[check.id] = replace(check, created=old.created, modified=old.modified)
        return True

    def _topics(self, services: Iterable[Service], checks: Iterable[Check]) -> set[Topic]:
        """All that a change of these concerns, what they were before included."""
        topics: set[Topic] = set()
        for service in services:
            before = self.services.get(service.id, service)
            topics |= {SERVICES, service_topic(service.name), service_topic(before.name)}
        for check in checks:
            before_check = self.checks.get(check.id, check)
            topics |= {CHECKS, *self._watched_by(check), *self._watched_by(before_check)}
        return topics

    def _watched_by(self, check: Check) -> set[Topic]:
        """A service's check concerns that service; a check of the node concerns every service on it."""
        if check.service_id:
            return {service_topic(check.service_name)}
        return {service_topic(s.name) for s in self.services.values()}

    def _mark_extinct(self, topics: Iterable[Topic]) -> None:
        for topic in topics:
            if topic[0] == "service" and not self._named.ids(topic[1]):
                self.changes.forget(topic)
                self.changes.announce([_EXTINCTIONS])

    def instances(self, name: str) -> list[Service]:
        """The instances of a service, by id."""
        return [self.services[service_id] for service_id in self._named.ids(name)]

    def checks_of(self, service_id: str) -> list[Check]:
        """The checks of one instance, by id; with an empty id, those of the node."""
        return [self.checks[check_id] for check_id in self._owned.ids(service_id)]

    def service_index(self, name: str, *, with_checks: bool) -> int:
        """When a service or its checks last changed.

        Of a service that has no instances, Consul says when any service last lost its last one, and
        if none ever did, when the catalogue last changed.
        """
        changes = self.changes
        known = changes.at(service_topic(name)) or changes.at(_EXTINCTIONS)
        return known or self.catalog_index(with_checks=with_checks)

    def catalog_index(self, *, with_checks: bool) -> int:
        """When any node or service (or check) last changed."""
        at = self.changes.at
        return max(at(NODES), at(SERVICES), at(CHECKS) if with_checks else 0)


def _stamped(new: _Record, old: _Record | None, index: int) -> _Record:
    return replace(new, created=old.created if old else index, modified=index)
