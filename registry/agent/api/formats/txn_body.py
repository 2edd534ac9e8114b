"""The body of /v1/txn, turned into operations, and the results and failures of a transaction as JSON. Pure."""

from __future__ import annotations

import binascii
from base64 import b64decode

from registry.agent.api.formats.catalog_body import check_of_node, node_of_transaction, service_of_node
from registry.agent.api.formats.json_body import DECODE_FAILED, Fields, decode_objects
from registry.agent.api.formats.json_views import Json, catalog_check, health_service, node_entry, pair_entry
from registry.agent.errors import ApiError, BadRequest
from registry.agent.state.kv import Pair
from registry.agent.state.records import Node, Service
from registry.agent.state.transaction import CatalogOperation, Failure, KeyOperation, Operation, Record

_OPERATIONS_MAX = 64
_KEY_FIELDS = ("Verb", "Key", "Value", "Flags", "Index", "Session", "Namespace")
_KEY_WRITING_VERBS = ("set", "cas", "lock", "unlock", "delete", "delete-cas", "delete-tree")


def operations(body: bytes, *, datacenter: str) -> list[Operation]:
    """The operations of a transaction; elements that name none are left out. Raises ApiError in Consul's words."""
    try:
        given = decode_objects(body)
        found = [_operation(fields, datacenter) for fields in given]
    except BadRequest as error:
        raise BadRequest(f"Failed to parse body: {str(error).removeprefix(DECODE_FAILED)}") from error
    if len(given) > _OPERATIONS_MAX:
        raise ApiError(413, f"Transaction contains too many operations ({len(given)} > {_OPERATIONS_MAX})")
    return [operation for operation in found if operation]


def writes(operation: Operation) -> bool:
    """Whether Consul counts an operation as a write; a verb that it does not know is none of a key's."""
    if isinstance(operation, KeyOperation):
        return operation.verb in _KEY_WRITING_VERBS
    return operation.verb != "get"


def _operation(fields: Fields, datacenter: str) -> Operation | None:
    fields.only(("KV", "Node", "Service", "Check"))
    if fields.has("KV"):
        return _key_operation(fields.nested("KV"))
    if fields.has("Node"):
        node = fields.nested("Node")
        node.only(("Verb", "Node"))
        inner = node.nested("Node")
        record = node_of_transaction(inner, default_datacenter=datacenter)
        return CatalogOperation(node.text("Verb"), record, inner.number("ModifyIndex"))
    if fields.has("Service"):
        service = fields.nested("Service")
        service.only(("Verb", "Node", "Service"))
        inner = service.nested("Service")
        of_node = service_of_node(inner, node=service.text("Node"))
        return CatalogOperation(service.text("Verb"), of_node, inner.number("ModifyIndex"))
    if fields.has("Check"):
        check = fields.nested("Check")
        check.only(("Verb", "Check"))
        inner = check.nested("Check")
        return CatalogOperation(check.text("Verb"), check_of_node(inner, node=""), inner.number("ModifyIndex"))
    return None


def _key_operation(fields: Fields) -> KeyOperation:
    fields.only(_KEY_FIELDS)
    return KeyOperation(
        verb=fields.text("Verb"),
        key=fields.text("Key"),
        value=_decoded(fields.text("Value")),
        flags=fields.number("Flags"),
        index=fields.number("Index"),
        session=fields.text("Session"),
    )


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("illegal base64 data") from error


def result_entry(record: Record) -> Json:
    """One result, under the name of its kind."""
    if isinstance(record, Pair):
        return {"KV": pair_entry(record)}
    if isinstance(record, Node):
        return {"Node": node_entry(record)}
    if isinstance(record, Service):
        return {"Service": health_service(record) | {"Tags": list(record.tags) or None}}
    return {"Check": catalog_check(record) | {"ServiceTags": list(record.service_tags) or None}}


def failure_entry(failure: Failure) -> Json:
    """Why one operation failed."""
    return {"OpIndex": failure.position, "What": failure.reason}
