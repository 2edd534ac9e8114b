"""/v1/coordinate: the network coordinates of nodes are read and set."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from registry.agent.api.blocking.blocking_query import BlockingReads, ReadResult, refuse_other_datacenter
from registry.agent.api.formats.json_body import Fields, decode_object
from registry.agent.api.formats.json_views import coordinate_entry
from registry.agent.api.formats.message import Request, Response, json_response
from registry.agent.errors import ApiError
from registry.agent.state.coordinates import COORDINATES, DIMENSIONS, Coordinate
from registry.agent.state.store import StateStore

_WAN_AREA = "wan"


class CoordinateApi:
    """The handlers; each takes a Request and returns a Response, or raises ApiError."""

    def __init__(self, state: StateStore, reads: BlockingReads) -> None:
        self._state = state
        self._reads = reads

    async def datacenters(self, request: Request) -> Response:
        """GET datacenters: this one, with its one server."""
        node = self._state.node
        own = [coordinate_entry(*entry) for entry in self._state.coordinates.all() if entry[:2] == (node.name, "")]
        return json_response([{"Datacenter": node.datacenter, "AreaID": _WAN_AREA, "Coordinates": own}], request)

    async def nodes(self, request: Request) -> Response:
        """GET nodes: the coordinates of all nodes; ?segment= narrows it."""
        return await self._list(request, lambda node: True, found_none=[])

    async def node(self, request: Request) -> Response:
        """GET node/NAME: the coordinates of one node."""
        return await self._list(request, lambda node: node == request.rest, found_none=Response(404))

    async def _list(self, request: Request, selected: Callable[[str], bool], *, found_none: object) -> Response:
        segments = request.query.texts("segment")

        def read() -> ReadResult:
            chosen = [
                coordinate_entry(node, segment, coordinate)
                for node, segment, coordinate in self._state.coordinates.all()
                if selected(node) and (not segments or segment == segments[0])
            ]
            return ReadResult(self._state.coordinates.index(), COORDINATES, chosen or found_none)

        return await self._reads.respond(request, read, name_consistency=False)

    async def update(self, request: Request) -> Response:
        """PUT update: set the coordinate of a node; one of a node that is not there is dropped, as in Consul."""
        fields = decode_object(request.body)
        fields.only(("Datacenter", "Node", "Segment", "Coord", "Token", "WriteRequest"))
        coordinate = _coordinate(fields.nested("Coord"))
        refuse_other_datacenter(fields.text("Datacenter") or request.query.text("dc"), self._state.node)
        if fields.text("Node") in self._state.catalog.nodes:
            self._state.coordinates.set(fields.text("Node"), fields.text("Segment"), coordinate)
        return Response()


def _coordinate(fields: Fields) -> Coordinate:
    fields.only(("Vec", "Error", "Adjustment", "Height"))
    coordinate = Coordinate(fields.reals("Vec"), fields.real("Error"), fields.real("Adjustment"), fields.real("Height"))
    numbers = (*coordinate.vector, coordinate.error, coordinate.adjustment, coordinate.height)
    if not all(map(isfinite, numbers)):
        raise ApiError(500, "invalid coordinate")
    if len(coordinate.vector) != DIMENSIONS:
        raise ApiError(500, "incompatible coordinate")
    return coordinate
