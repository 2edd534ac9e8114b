"""/v1/txn: several operations of which all are done or none."""

from __future__ import annotations

from registry.agent.api.blocking.blocking_query import query_options, refuse_other_datacenter
from registry.agent.api.formats.json_views import Json
from registry.agent.api.formats.message import Request, Response, json_response
from registry.agent.api.formats.txn_body import failure_entry, operations, result_entry, writes
from registry.agent.state.store import StateStore
from registry.agent.state.transaction import TransactionFailed, execute

# What Consul adds to the response of a transaction that only reads.
_READ_META: Json = {"Index": 0, "LastContact": 0, "KnownLeader": True, "ConsistencyLevel": ""}
_READ_HEADERS = {"X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0"}


class TxnApi:
    """The handler; it takes a Request and returns a Response, or raises ApiError."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    async def put(self, request: Request) -> Response:
        """PUT: the results, or with 409 the failures."""
        wanted = operations(request.body, datacenter=self._state.node.datacenter)
        reads_only = not any(writes(operation) for operation in wanted)
        if reads_only:
            query_options(request.query, self._state.node)
        refuse_other_datacenter(request.query.text("dc"), self._state.node)
        try:
            results = [result_entry(record) for record in execute(self._state, wanted)]
            status, value = 200, {"Results": results, "Errors": None}
        except TransactionFailed as failed:
            status, value = 409, {"Results": None, "Errors": [failure_entry(one) for one in failed.failures]}
        meta, headers = (_READ_META, _READ_HEADERS) if reads_only else ({}, {})
        return json_response(value | meta, request, status=status, headers=headers)
