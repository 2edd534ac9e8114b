"""Sessions: each stands for one client process, and ends when the checks, node or time to live it names fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from registry.agent.state.catalog import Key, Lost
from registry.agent.state.index import ChangeIndex, Topic, Undo

SESSIONS: Topic = ("sessions", "")

RELEASE = "release"
DELETE = "delete"

TTL_MIN_S = 10.0
TTL_MAX_S = 86_400.0
# Consul promises that a session lives for its TTL, and gives it as much again.
_TTL_MULTIPLIER = 2


@dataclass(frozen=True, slots=True)
class Session:
    """A session: what it depends on, and what becomes of the keys that it holds when it ends.

    `behavior` is "release" or "delete". `ttl` is the duration as the client wrote it, `ttl_s` the same in seconds,
    0 for none. `service_checks` are ids and namespaces, None where Consul shows null. `checks` is the older name
    under which clients list checks of the node.
    """

    id: str
    node: str
    name: str = ""
    lock_delay_s: float = 15.0
    behavior: str = RELEASE
    ttl: str = ""
    ttl_s: float = 0.0
    node_checks: tuple[str, ...] = ()
    service_checks: tuple[tuple[str, str], ...] | None = None
    checks: tuple[str, ...] = ()
    created: int = 0

    @property
    def depends_on(self) -> set[Key]:
        """The checks that must stay above critical."""
        of_services = (check_id for check_id, _ in self.service_checks or ())
        return {(self.node, check_id) for check_id in (*self.checks, *self.node_checks, *of_services)}


class Sessions:
    """All sessions, by id. `clock` gives monotonic seconds."""

    def __init__(self, changes: ChangeIndex, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._changes = changes
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._ends_at_s: dict[str, float] = {}

    def get(self, session_id: str) -> Session | None:
        """The session, or None."""
        return self._sessions.get(session_id)

    def all(self) -> list[Session]:
        """Every session, by id."""
        return [session for _, session in sorted(self._sessions.items())]

    def add(self, session: Session) -> None:
        """Add a session, whose time to live begins now."""
        self._sessions[session.id] = replace(session, created=self._changes.next_index())
        self._announce()
        self.renew(session.id)

    def renew(self, session_id: str) -> None:
        """Let the session's time to live begin anew."""
        ttl_s = self._sessions[session_id].ttl_s
        if ttl_s:
            self._ends_at_s[session_id] = self._clock() + ttl_s * _TTL_MULTIPLIER

    def remove(self, session_id: str) -> Session | None:
        """Remove a session; None if there is none."""
        self._ends_at_s.pop(session_id, None)
        session = self._sessions.pop(session_id, None)
        if session:
            self._changes.next_index()
            self._announce()
        return session

    def expired(self) -> list[str]:
        """The ids of the sessions that were not renewed in time."""
        now_s = self._clock()
        return [session_id for session_id, ends_at_s in self._ends_at_s.items() if ends_at_s <= now_s]

    def without(self, lost: Lost) -> list[str]:
        """The ids of the sessions that cannot live without what was lost."""
        if not (lost.checks or lost.nodes):
            return []
        return [
            s.id for s in self._sessions.values() if s.node in lost.nodes or not lost.checks.isdisjoint(s.depends_on)
        ]

    def index(self) -> int:
        """When a session was last added or removed."""
        return self._changes.at(SESSIONS) or 1

    def undo(self) -> Undo:
        """What puts all sessions back to their present state."""
        sessions, ends_at_s = dict(self._sessions), dict(self._ends_at_s)

        def restore() -> None:
            self._sessions, self._ends_at_s = sessions, ends_at_s

        return restore

    def _announce(self) -> None:
        self._changes.version += 1
        self._changes.announce([SESSIONS])
