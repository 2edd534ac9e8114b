"""Request bodies: any JSON at all becomes a definition or a 400, and never anything else."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.agent.api.formats.json_body import Fields, decode_object
from registry.agent.api.formats.registration_body import check_definition, service_definition
from registry.agent.checks.definitions import Repeated
from registry.agent.errors import ApiError, BadRequest

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
NAMES = st.sampled_from(
    ["Name", "name", "ID", "Port", "Tags", "Meta", "Weights", "TaggedAddresses", "Check", "Checks", "TTL", "HTTP",
     "TCP", "Interval", "Timeout", "Header", "Body", "Status", "Notes", "DeregisterCriticalServiceAfter", "Kind"]
)  # fmt: skip
BODIES = st.dictionaries(NAMES, VALUES, max_size=6)


@given(
    st.binary(max_size=200)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | BODIES.map(json.dumps).map(str.encode)
)
def test_any_body(body: bytes) -> None:
    """Any bytes are decoded or refused with a sentence."""
    for read in (service_definition, check_definition):
        with suppress(ApiError):
            assert read(decode_object(body))


@given(BODIES)
def test_checks_of_any_shape(fields: dict[str, object]) -> None:
    """A service whose check has any fields is taken or refused."""
    for body in ({"Name": "a", "Check": fields}, {"Name": "a", "Checks": [fields]}):
        with suppress(ApiError):
            assert service_definition(decode_object(json.dumps(body).encode())).service.name == "a"


def test_names_in_any_casing() -> None:
    """CheckID, checkid and check_id are one field."""
    for name in ("CheckID", "checkid", "check_id", "CHECK_ID"):
        definition = service_definition(Fields({"name": "a", "check": {name: "c", "ttl": "5s"}}))
        assert [check.id for check in definition.checks] == ["c"]


@pytest.mark.parametrize(("asked", "kept"), [("1s", 60.0), ("90m", 5400.0), ("", None), ("0s", None)])
def test_reaping_waits_a_minute_at_least(asked: str, kept: float | None) -> None:
    """DeregisterCriticalServiceAfter below Consul's minimum of a minute counts as a minute; none means never."""
    fields = {"Name": "a", "TTL": "5s"} | ({"DeregisterCriticalServiceAfter": asked} if asked else {})
    assert check_definition(Fields(dict(fields))).reap_after_s == kept


def test_intervals_are_a_second_at_least() -> None:
    """A probe is never made more often than once a second, as in Consul."""
    definition = check_definition(Fields({"Name": "a", "TCP": "a:1", "Interval": "10ms"}))
    assert isinstance(definition.run, Repeated)
    assert definition.run.interval_s == 1.0


@pytest.mark.parametrize("name", ["GRPC", "DockerContainerID", "AliasService"])
def test_checks_that_are_not_run_here(name: str) -> None:
    """A kind of check that the agent cannot run is refused by its name, and its empty field is taken."""
    with pytest.raises(BadRequest, match=name):
        check_definition(Fields({"Name": "a", "Interval": "1s", name: "x"}))
    assert check_definition(Fields({"Name": "a", "TTL": "1s", name: None})).run.kind == "ttl"


@pytest.mark.parametrize("name", ["Args", "ScriptArgs"])
def test_scripts_are_disabled(name: str) -> None:
    """A check that runs a script is refused with the sentence of an agent that has scripts switched off."""
    with pytest.raises(ApiError, match="Scripts are disabled on this agent") as refused:
        check_definition(Fields({"Name": "a", "Interval": "1s", name: ["true"]}))
    assert refused.value.status == 500
    assert check_definition(Fields({"Name": "a", "TTL": "1s", name: None})).run.kind == "ttl"


@pytest.mark.parametrize(
    ("field", "value"), [("Kind", "connect-proxy"), ("Connect", {"Native": True}), ("Proxy", {"a": 1})]
)
def test_no_service_mesh(field: str, value: object) -> None:
    """Service mesh registrations are refused; the empty fields that Go clients send are taken."""
    with pytest.raises(BadRequest, match="service mesh"):
        service_definition(Fields({"Name": "a", field: value}))
    assert service_definition(Fields({"Name": "a", field: None})).service.name == "a"
