"""The state store: all tables of the agent, and the changes that touch several of them at once.

A session that depends on what a change takes away ends with that change, and with the session end its locks.
The sentences of refusals are Consul's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from registry.agent.errors import ApiError
from registry.agent.state.catalog import Catalog, CatalogChange
from registry.agent.state.coordinates import Coordinate, Coordinates
from registry.agent.state.events import Events
from registry.agent.state.index import ChangeIndex
from registry.agent.state.kv import KeyValueStore
from registry.agent.state.records import Check, Node, Service, Status
from registry.agent.state.sessions import DELETE, Session, Sessions

# The agent's own entries in the catalogue, as every Consul server has them; no client may change them.
OWN_SERVICE_ID = "consul"
OWN_CHECK_ID = "serfHealth"

_UUID_LENGTH = 36
_LOCK_DELAY_MAX_S = 60.0


class StateStore:
    """The catalogue with the agent's own `node` in it, keys, sessions, events and coordinates.

    `clock` gives monotonic seconds.
    """

    def __init__(self, *, node: Node, port: int, version: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.node = node
        self.changes = ChangeIndex()
        self.catalog = Catalog(self.changes)
        self.keys = KeyValueStore(self.changes, clock=clock)
        self.sessions = Sessions(self.changes, clock=clock)
        self.events = Events(self.changes)
        self.coordinates = Coordinates(self.changes)
        self.own_service = Service(OWN_SERVICE_ID, OWN_SERVICE_ID, node.name, port=port, meta={"version": version})
        self.own_check = Check(
            OWN_CHECK_ID, "Serf Health Status", node.name, Status.PASSING, output="Agent alive and reachable"
        )
        with self.changes.one_change():
            self.commit(CatalogChange(nodes=[node], services=[self.own_service], checks=[self.own_check]))
            self.coordinates.set(node.name, "", Coordinate())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is one change; an exception takes all of it back."""
        tables = (self.changes, self.catalog, self.keys, self.sessions, self.coordinates)
        with self.changes.one_change():
            undos = [table.undo() for table in tables]
            try:
                yield
            except BaseException:
                for undo in undos:
                    undo()
                raise

    def commit(self, change: CatalogChange) -> None:
        """Change the catalogue, and end the sessions that depended on what is lost by it."""
        with self.changes.one_change():
            lost = self.catalog.commit(change)
            self.coordinates.forget(lost.nodes)
            for session_id in self.sessions.without(lost):
                self.end_session(session_id)

    def ensure_node(self, node: Node) -> None:
        """Write a node; one with the same id and another name is renamed, and loses its services. Raises ApiError."""
        same_id = next((n for n in self.catalog.nodes.values() if node.id and n.id == node.id), None)
        if same_id and same_id.name != node.name:
            self._refuse_reserved(node, f"{json.dumps(node.id)} ({node.address})", steal_without_id=False)
            self.commit(CatalogChange(removed_nodes=[same_id.name]))
        elif node.id and not same_id:
            self._refuse_reserved(node, json.dumps(node.id), steal_without_id=True)
        self.commit(CatalogChange(nodes=[node]))

    def _refuse_reserved(self, node: Node, what: str, *, steal_without_id: bool) -> None:
        """A name belongs to the node that has it while that node's agent is alive."""
        holder = self.catalog.nodes.get(node.name)
        if holder is None or holder.id == node.id or (not holder.id and steal_without_id):
            return
        alive = self.catalog.checks.get((holder.name, OWN_CHECK_ID))
        if alive and alive.status != Status.CRITICAL:
            raise ApiError(
                500,
                f"Error while renaming Node ID: {what}: Node name {node.name} is reserved by node {holder.id} "
                f"with name {holder.name} ({holder.address})",
            )

    def ensure_service(self, service: Service) -> None:
        """Write a service of a node that is there. Raises ApiError."""
        if service.node not in self.catalog.nodes:
            raise ApiError(500, "Missing node registration")
        if not service.id:
            raise ApiError(500, "failed inserting service: object missing primary index")
        self.commit(CatalogChange(services=[service]))

    def ensure_check(self, check: Check) -> Check:
        """Write a check of a node, or of a service on it, that is there; the check as written. Raises ApiError."""
        if check.node not in self.catalog.nodes:
            raise ApiError(500, "Missing node registration")
        if check.service_id:
            service = self.catalog.services.get((check.node, check.service_id))
            if service is None:
                raise ApiError(500, "Missing service registration")
            check = check_of_service(check, service)
        if not check.id:
            raise ApiError(500, "failed inserting check: object missing primary index")
        self.commit(CatalogChange(checks=[check], compare_output=True))
        return self.catalog.checks[check.node, check.id]

    def create_session(self, session: Session) -> None:
        """Add a session whose node and checks are there and not critical. Raises ApiError."""
        if session.node not in self.catalog.nodes:
            raise ApiError(500, "Missing node registration")
        for key in sorted(session.depends_on):
            check = self.catalog.checks.get(key)
            if check is None:
                raise ApiError(500, f"Missing check '{key[1]}' registration")
            if check.status == Status.CRITICAL:
                raise ApiError(500, f"Check '{key[1]}' is in {check.status} state")
        self.sessions.add(session)

    def session(self, session_id: str) -> Session | None:
        """The session, or None. Raises ApiError where the id cannot be one."""
        if len(session_id) != _UUID_LENGTH:
            raise ApiError(500, f"failed session lookup: index error: UUID must be {_UUID_LENGTH} characters")
        return self.sessions.get(session_id)

    def end_session(self, session_id: str) -> None:
        """End a session, and release or delete the keys that it holds; an unknown one is none."""
        with self.changes.one_change():
            session = self.sessions.remove(session_id)
            if session:
                lock_delay_s = min(session.lock_delay_s, _LOCK_DELAY_MAX_S)
                self.keys.end_session(session_id, delete=session.behavior == DELETE, lock_delay_s=lock_delay_s)

    def acquire(self, key: str, value: bytes, *, flags: int, session: str) -> bool:
        """Write a key and lock it for a session; whether it could be locked. Raises ApiError."""
        if self.keys.in_lock_delay(key):
            return False
        if not session:
            raise ApiError(500, "missing session")
        if self.session(session) is None:
            raise ApiError(500, f"invalid session {json.dumps(session)}")
        return self.keys.acquire(key, value, flags=flags, session=session)

    def release(self, key: str, value: bytes, *, flags: int, session: str) -> bool:
        """Write a key and unlock it; false if the session does not hold it. Raises ApiError."""
        if not session:
            raise ApiError(500, "missing session")
        return self.keys.release(key, value, flags=flags, session=session)


def check_of_service(check: Check, service: Service) -> Check:
    """The check as one of that service, whose name and tags it carries."""
    return replace(check, service_id=service.id, service_name=service.name, service_tags=service.tags)
