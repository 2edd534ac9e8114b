"""Transactions: several operations on keys, nodes, services and checks, of which all are done or none.

Every operation is tried, so that all that fail are named; the sentences are Consul's own (agent/consul/state/txn.go).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from registry.agent.errors import ApiError
from registry.agent.state.catalog import CatalogChange
from registry.agent.state.kv import Pair
from registry.agent.state.records import Check, Node, Service
from registry.agent.state.store import StateStore

Record = Pair | Node | Service | Check


@dataclass(frozen=True, slots=True)
class KeyOperation:
    """An operation on a key, or on all keys under it; `index` and `session` are what the verb compares with."""

    verb: str
    key: str
    value: bytes = b""
    flags: int = 0
    index: int = 0
    session: str = ""


@dataclass(frozen=True, slots=True)
class CatalogOperation:
    """An operation on a node, service or check; `index` is what the verb compares with."""

    verb: str
    record: Node | Service | Check
    index: int = 0


Operation = KeyOperation | CatalogOperation


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the operation at `position` cannot be done."""

    position: int
    reason: str


class TransactionFailed(Exception):
    """Nothing was done, because of these failures."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(f"{len(failures)} operations failed")
        self.failures = failures


def execute(store: StateStore, operations: Sequence[Operation]) -> list[Record]:
    """Do all operations as one change, and return what they wrote or read. Raises TransactionFailed."""
    _fail_if_any(store, operations, _check_before)
    results: list[Record] = []

    def do(store: StateStore, operation: Operation) -> None:
        results.extend(_do(store, operation))

    with store.transaction():
        _fail_if_any(store, operations, do)
    return results


def _fail_if_any(
    store: StateStore, operations: Sequence[Operation], do: Callable[[StateStore, Operation], None]
) -> None:
    failures = []
    for position, operation in enumerate(operations):
        try:
            do(store, operation)
        except ApiError as error:
            failures.append(Failure(position, str(error)))
    if failures:
        raise TransactionFailed(failures)


def _check_before(store: StateStore, operation: Operation) -> None:
    """What Consul looks at before it begins: names, and lock delays, which depend on the time of day."""
    if isinstance(operation, KeyOperation):
        if not operation.key and operation.verb != "delete-tree":
            raise _failed("Must provide key")
        if operation.verb == "lock" and store.keys.in_lock_delay(operation.key):
            raise _failed(f"failed to lock key {_quoted(operation.key)} due to lock delay")
    elif operation.verb != "get":
        if isinstance(operation.record, Node) and not operation.record.name:
            raise _failed("Must provide node")
        if isinstance(operation.record, Service) and operation.record.id and not operation.record.name:
            raise _failed("Must provide service name with ID")


def _do(store: StateStore, operation: Operation) -> Sequence[Record]:
    if isinstance(operation, KeyOperation):
        do = _KEY_VERBS.get(operation.verb)
        if do is None:
            raise _failed(f"unknown KV verb {_quoted(operation.verb)}")
        return do(store, operation)
    return _do_in_catalog(store, operation)


def _set(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    store.keys.put(operation.key, operation.value, flags=operation.flags)
    return _written(store, operation.key)


def _cas(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    if not store.keys.put(operation.key, operation.value, flags=operation.flags, cas=operation.index):
        raise _failed(f"failed to set key {_quoted(operation.key)}, index is stale")
    return _written(store, operation.key)


def _lock(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    if not store.acquire(operation.key, operation.value, flags=operation.flags, session=operation.session):
        raise _failed(f"failed to lock key {_quoted(operation.key)}, lock is already held")
    return _written(store, operation.key)


def _unlock(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    if not store.release(operation.key, operation.value, flags=operation.flags, session=operation.session):
        raise _failed(f"failed to unlock key {_quoted(operation.key)}, lock isn't held, or is held by another session")
    return _written(store, operation.key)


def _get(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    pair = store.keys.get(operation.key)
    if pair is None:
        raise _failed(f"key {_quoted(operation.key)} doesn't exist")
    return [pair]


def _get_tree(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    return store.keys.under(operation.key)


def _check_index(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    pair = store.keys.get(operation.key)
    if pair is None:
        raise _failed(f"failed to check index, key {_quoted(operation.key)} doesn't exist")
    if pair.modified != operation.index:
        compared = f"current modify index {pair.modified} != {operation.index}"
        raise _failed(f"failed index check for key {_quoted(operation.key)}, {compared}")
    return _written(store, operation.key)


def _check_session(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    pair = store.keys.get(operation.key)
    if pair is None:
        raise _failed(f"failed to check session, key {_quoted(operation.key)} doesn't exist")
    if pair.session != operation.session:
        compared = f"current session {_quoted(pair.session)} != {_quoted(operation.session)}"
        raise _failed(f"failed session check for key {_quoted(operation.key)}, {compared}")
    return _written(store, operation.key)


def _check_not_exists(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    if store.keys.get(operation.key):
        raise _failed(f"key {_quoted(operation.key)} exists")
    return []


def _delete(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    store.keys.delete(operation.key)
    return []


def _delete_cas(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    if not store.keys.delete(operation.key, cas=operation.index):
        raise _failed(f"failed to delete key {_quoted(operation.key)}, index is stale")
    return []


def _delete_tree(store: StateStore, operation: KeyOperation) -> Sequence[Pair]:
    store.keys.delete_under(operation.key)
    return []


_KEY_VERBS: Mapping[str, Callable[[StateStore, KeyOperation], Sequence[Pair]]] = {
    "set": _set,
    "cas": _cas,
    "lock": _lock,
    "unlock": _unlock,
    "get": _get,
    "get-tree": _get_tree,
    "check-index": _check_index,
    "check-session": _check_session,
    "check-not-exists": _check_not_exists,
    "delete": _delete,
    "delete-cas": _delete_cas,
    "delete-tree": _delete_tree,
}


def _written(store: StateStore, key: str) -> Sequence[Pair]:
    """What a write or a comparison says of its key: all but the value."""
    pair = store.keys.get(key)
    return [replace(pair, value=b"")] if pair else []


def _do_in_catalog(store: StateStore, operation: CatalogOperation) -> Sequence[Record]:
    record = operation.record
    kind, what, found = _target(store, record)
    present = found.modified if found else 0
    if operation.verb == "get" and found is None:
        raise _failed(f"{what} doesn't exist")
    if operation.verb == "cas" and operation.index != present:
        raise _failed(f"failed to set {what}, index is stale")
    if operation.verb == "delete-cas" and (found is None or operation.index != present):
        raise _failed(f"failed to delete {what}, index is stale")
    if operation.verb in ("delete", "delete-cas"):
        _remove(store, record)
        return []
    if operation.verb == "cas" and isinstance(record, Check):
        with suppress(ApiError):  # Consul 1.8 forgets why such a check could not be written
            _ensure(store, record)
    elif operation.verb in ("set", "cas"):
        _ensure(store, record)
    elif operation.verb != "get":
        raise _failed(f"unknown {kind} verb {_quoted(operation.verb)}")
    _, _, now = _target(store, record)
    return [now] if now else []


def _target(store: StateStore, record: Node | Service | Check) -> tuple[str, str, Node | Service | Check | None]:
    """Consul's words for the kind of record and for this record, and the one that is in the catalogue."""
    catalog = store.catalog
    if isinstance(record, Node):
        return "Node", f"node {_quoted(record.name)}", catalog.find_node(record.id or record.name)
    if isinstance(record, Service):
        what = f"service {_quoted(record.id)} on node {_quoted(record.node)}"
        return "Service", what, catalog.services.get((record.node, record.id))
    what = f"check {_quoted(record.id)} on node {_quoted(record.node)}"
    return "Check", what, catalog.checks.get((record.node, record.id))


def _ensure(store: StateStore, record: Node | Service | Check) -> None:
    if isinstance(record, Node):
        store.ensure_node(record)
    elif isinstance(record, Service):
        store.ensure_service(record)
    else:
        store.ensure_check(record)


def _remove(store: StateStore, record: Node | Service | Check) -> None:
    if isinstance(record, Node):
        store.commit(CatalogChange(removed_nodes=[record.name]))
    elif isinstance(record, Service):
        store.commit(CatalogChange(removed_services=[(record.node, record.id)]))
    else:
        store.commit(CatalogChange(removed_checks=[(record.node, record.id)]))


def _failed(sentence: str) -> ApiError:
    return ApiError(409, sentence)


def _quoted(text: str) -> str:
    """Text as Go's %q writes it."""
    return json.dumps(text, ensure_ascii=False)
