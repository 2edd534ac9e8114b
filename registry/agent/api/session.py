"""/v1/session: sessions are created, renewed, destroyed and listed."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from registry.agent.api.blocking.blocking_query import (
    FAILED_READ_HEADERS,
    BlockingReads,
    ReadResult,
    query_options,
    refuse_other_datacenter,
)
from registry.agent.api.formats.json_views import session_entry
from registry.agent.api.formats.message import Request, Response, json_response
from registry.agent.api.formats.session_body import session_definition
from registry.agent.api.selection import name_in
from registry.agent.errors import ApiError
from registry.agent.state.sessions import SESSIONS, Session
from registry.agent.state.store import StateStore


class SessionApi:
    """The handlers; each takes a Request and returns a Response, or raises ApiError."""

    def __init__(self, state: StateStore, reads: BlockingReads) -> None:
        self._state = state
        self._reads = reads

    async def create(self, request: Request) -> Response:
        """PUT create: a new session; its id."""
        refuse_other_datacenter(request.query.text("dc"), self._state.node)
        session = session_definition(request.body, session_id=str(uuid.uuid4()), own_node=self._state.node.name)
        self._state.create_session(session)
        return json_response({"ID": session.id}, request)

    async def destroy(self, request: Request) -> Response:
        """PUT destroy/ID: true, whether or not there was one."""
        refuse_other_datacenter(request.query.text("dc"), self._state.node)
        session = self._state.session(name_in(request, "session"))
        if session:
            self._state.end_session(session.id)
        return json_response(True, request)

    async def renew(self, request: Request) -> Response:
        """PUT renew/ID: lets the time to live begin anew, and returns the session."""
        query_options(request.query, self._state.node)
        session = self._state.session(name_in(request, "session"))
        if session is None:
            raise ApiError(404, f"Session id '{request.rest}' not found")
        self._state.sessions.renew(session.id)
        return json_response([session_entry(session)], request)

    async def info(self, request: Request) -> Response:
        """GET info/ID: a list of the session, or of none."""
        session_id = name_in(request, "session")
        try:
            self._state.session(session_id)
        except ApiError as error:
            raise ApiError(error.status, str(error), headers=FAILED_READ_HEADERS) from error
        return await self._list(request, lambda session: session.id == session_id)

    async def list(self, request: Request) -> Response:
        """GET list: every session, by id."""
        return await self._list(request, lambda session: True)

    async def node(self, request: Request) -> Response:
        """GET node/NAME: the sessions of a node."""
        node = name_in(request, "node name")
        return await self._list(request, lambda session: session.node == node)

    async def _list(self, request: Request, selected: Callable[[Session], bool]) -> Response:
        def read() -> ReadResult:
            entries = [session_entry(session) for session in self._state.sessions.all() if selected(session)]
            return ReadResult(self._state.sessions.index(), SESSIONS, entries)

        return await self._reads.respond(request, read, name_consistency=False)
