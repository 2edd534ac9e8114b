"""Transactions against a plain dictionary: all operations are done, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.agent.state.records import Node
from registry.agent.state.store import StateStore
from registry.agent.state.transaction import KeyOperation, TransactionFailed, execute

OPERATIONS = st.lists(
    st.builds(
        KeyOperation,
        verb=st.sampled_from(["set", "get", "delete", "delete-tree", "check-not-exists", "get-tree"]),
        key=st.text("ab", min_size=1, max_size=2),
        value=st.binary(max_size=1),
    ),
    max_size=6,
)


def outcome(plain: dict[str, bytes], operations: list[KeyOperation]) -> dict[str, bytes] | None:
    """What a dictionary is after the operations; None if one of them fails."""
    failed = False
    plain = dict(plain)
    for operation in operations:
        key = operation.key
        if operation.verb == "set":
            plain[key] = operation.value
        elif operation.verb == "delete":
            plain.pop(key, None)
        elif operation.verb == "delete-tree":
            plain = {k: v for k, v in plain.items() if not k.startswith(key)}
        elif operation.verb != "get-tree":
            failed |= (key in plain) != (operation.verb == "get")
    return None if failed else plain


@given(st.lists(OPERATIONS, max_size=5))
def test_all_or_nothing(transactions: list[list[KeyOperation]]) -> None:
    """A transaction that fails changes nothing, and one that succeeds has one index for all it wrote."""
    store = StateStore(node=Node(id="0", name="own", address="127.0.0.1"), port=1, version="0")
    plain: dict[str, bytes] = {}
    for operations in transactions:
        expected, index = outcome(plain, operations), store.changes.index
        if expected is None:
            with pytest.raises(TransactionFailed) as failed:
                execute(store, operations)
            assert failed.value.failures
            assert store.changes.index == index
        else:
            execute(store, operations)
            plain = expected
            assert store.changes.index <= index + 1
        assert {pair.key: pair.value for pair in store.keys.under("")} == plain
