"""Bodies of catalogue writes, sessions and transactions: any JSON at all is taken or refused with a sentence."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from registry.agent.api.formats.catalog_body import deregistration, registration
from registry.agent.api.formats.json_body import decode_object
from registry.agent.api.formats.session_body import session_definition
from registry.agent.api.formats.txn_body import operations
from registry.agent.errors import ApiError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
NAMES = st.sampled_from(
    ["Node", "Address", "ID", "Service", "Check", "Checks", "CheckID", "ServiceID", "TaggedAddresses", "NodeMeta",
     "SkipNodeUpdate", "Definition", "Weights", "TTL", "LockDelay", "Behavior", "NodeChecks", "ServiceChecks", "KV",
     "Verb", "Key", "Value", "Flags", "Index", "Session", "Name", "Status"]
)  # fmt: skip
FIELDS = st.recursive(
    st.dictionaries(NAMES, VALUES, max_size=4),
    lambda inner: st.dictionaries(NAMES, inner | st.lists(inner, max_size=2), max_size=3),
)
BODIES = (
    st.binary(max_size=100)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | FIELDS.map(lambda fields: json.dumps(fields).encode())
    | st.lists(FIELDS, max_size=3).map(lambda fields: json.dumps(fields).encode())
)


@given(BODIES)
def test_any_body(body: bytes) -> None:
    """Nothing but an ApiError comes of a body that makes no sense."""
    with suppress(ApiError):
        registration(decode_object(body), default_datacenter="dc1")
    with suppress(ApiError):
        deregistration(decode_object(body))
    with suppress(ApiError):
        session_definition(body, session_id="s", own_node="n")
    with suppress(ApiError):
        operations(body, datacenter="dc1")
