"""What a query string selects of the catalogue, and in which order.

By tags, by a node's metadata and by a filter expression; the nearest first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from registry.agent.api.blocking.blocking_query import FAILED_READ_HEADERS
from registry.agent.api.formats.filter_expression import FilterError, compile_filter
from registry.agent.api.formats.filter_fields import Struct
from registry.agent.api.formats.message import Request
from registry.agent.errors import ApiError, BadRequest
from registry.agent.state.catalog import Catalog
from registry.agent.state.coordinates import round_trip_s
from registry.agent.state.records import Check, Node, Service
from registry.agent.state.store import StateStore

_OWN_NODE = "_agent"

_Record = TypeVar("_Record", bound=Node | Service | Check)

Predicate = Callable[[Mapping[str, object]], bool]


def name_in(request: Request, what: str) -> str:
    """The name at the end of the path. Raises BadRequest if there is none."""
    if not request.rest:
        raise BadRequest(f"Missing {what}")
    return request.rest


def filter_of(
    request: Request, fields: Struct, *, failure_headers: Mapping[str, str] = FAILED_READ_HEADERS
) -> Predicate:
    """Whether an entry with these fields matches ?filter=; without one every entry does.

    Raises ApiError, which has the headers of a failed read of the catalogue by default.
    """
    expression = request.query.text("filter")
    if not expression:
        return lambda entry: True
    try:
        return compile_filter(expression, fields)
    except FilterError as error:
        sentence = f"Failed to create boolean expression evaluator: {error}"
        raise ApiError(500, sentence, headers=failure_headers) from error


def chosen_instances(request: Request, catalog: Catalog, name: str) -> list[Service]:
    """The instances of a service with all tags of the query, whatever their case, on nodes with its metadata."""
    wanted = {tag.lower() for tag in request.query.texts("tag")}
    instances = catalog.instances(name)
    if wanted:
        instances = [service for service in instances if wanted <= {tag.lower() for tag in service.tags}]
    if request.query.given("node-meta"):
        instances = [service for service in instances if has_node_meta(request, catalog.nodes[service.node])]
    return instances


def nearest_first(request: Request, state: StateStore, records: Sequence[_Record]) -> Sequence[_Record]:
    """The records in the order of their nodes' distance from ?near=NODE (or _agent), where coordinates are known."""
    near = request.query.text("near")
    origin = state.coordinates.get(state.node.name if near == _OWN_NODE else near)
    if not near or origin is None:
        return records

    def distance_s(record: _Record) -> float:
        name = record.name if isinstance(record, Node) else record.node
        return round_trip_s(origin, state.coordinates.get(name))

    return sorted(records, key=distance_s)


def has_node_meta(request: Request, node: Node) -> bool:
    """Whether a node has all the metadata that the query asks for (?node-meta=key:value)."""
    pairs = (text.partition(":") for text in request.query.texts("node-meta"))
    return all(node.meta.get(key) == value for key, _, value in pairs)
