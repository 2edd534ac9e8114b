"""The bodies of agent/service/register and agent/check/register, turned into checked definitions. Pure.

The sentences of refusals are Consul's own. Fields that Consul knows and this agent cannot honour (service mesh,
scripts, Docker, gRPC, aliases) are refused when they have a value and accepted when they are empty, because Go
clients send them all.
"""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address
from types import MappingProxyType

from registry.agent.api.formats.json_body import Fields
from registry.agent.checks.definitions import (
    OUTPUT_MAX_BYTES,
    TIMEOUT_S,
    CheckDefinition,
    HttpProbe,
    Repeated,
    ServiceDefinition,
    TcpProbe,
    Ttl,
)
from registry.agent.errors import ApiError, BadRequest
from registry.agent.state.records import Service, Status, Weights

_SERVICE_FIELDS = (
    "ID", "Name", "Tags", "Address", "Port", "Meta", "Weights", "TaggedAddresses", "EnableTagOverride",
    "Check", "Checks", "Token", "Namespace", "Kind", "Proxy", "Connect",
)  # fmt: skip
_CHECK_FIELDS = (
    "ID", "CheckID", "Name", "Notes", "Status", "ServiceID", "TTL", "HTTP", "TCP", "Interval", "Timeout", "Method",
    "Header", "Body", "TLSSkipVerify", "DisableRedirects", "OutputMaxSize", "SuccessBeforePassing",
    "FailuresBeforeCritical", "DeregisterCriticalServiceAfter", "Token", "Namespace", "Args", "ScriptArgs",
    "DockerContainerID", "Shell", "GRPC", "GRPCUseTLS", "AliasNode", "AliasService", "ProxyHTTP", "ProxyGRPC",
)  # fmt: skip
_NO_MESH = ("Kind", "Proxy", "Connect")
_SCRIPTS = ("Args", "ScriptArgs")
_NOT_RUN = ("DockerContainerID", "GRPC", "AliasNode", "AliasService")

_META_KEY = re.compile(r"[a-zA-Z0-9_-]+")
_META_PAIRS_MAX, _META_KEY_MAX, _META_VALUE_MAX = 64, 128, 512
_WEIGHT_MAX = 65535

# Consul's agent/checks: an interval is never shorter than this.
_INTERVAL_MIN_S = 1.0
# Consul's check_deregister_interval_min.
_REAP_MIN_S = 60.0


def service_definition(fields: Fields) -> ServiceDefinition:
    """A service from the body of service/register. Raises BadRequest."""
    fields.only(_SERVICE_FIELDS)
    name = fields.text("Name")
    if not name:
        raise BadRequest("Missing service name")
    if any(fields.given(mesh) for mesh in _NO_MESH):
        raise BadRequest("The embedded agent has no service mesh: register without Kind, Proxy and Connect.")
    service = Service(
        id=fields.text("ID") or name,
        name=name,
        tags=fields.texts("Tags"),
        address=_address(fields.text("Address")),
        port=fields.number("Port"),
        meta=MappingProxyType(_meta(fields.text_map("Meta"))),
        weights=_weights(fields.nested("Weights")) if fields.given("Weights") else Weights(),
        enable_tag_override=fields.flag("EnableTagOverride"),
    )
    service = replace(service, tagged_addresses=MappingProxyType(_tagged(fields, service)))
    return ServiceDefinition(service, _service_checks(fields, service))


def check_definition(fields: Fields) -> CheckDefinition:
    """A check from the body of check/register. Raises BadRequest."""
    fields.only(_CHECK_FIELDS)
    name = fields.text("Name")
    if not name:
        raise BadRequest("Missing check name")
    if fields.text("Status") not in ("", *Status):
        raise BadRequest("Bad check status")
    check_id = fields.text("ID") or fields.text("CheckID") or name
    return _check(fields, check_id=check_id, name=name, service_id=fields.text("ServiceID"))


def _service_checks(fields: Fields, service: Service) -> tuple[CheckDefinition, ...]:
    """The checks that come with a service: those without an id get Consul's, numbered if there are several."""
    given = [fields.nested("Check")] if fields.given("Check") else []
    given += fields.nested_list("Checks")
    checks: dict[str, CheckDefinition] = {}
    for number, one in enumerate(given, start=1):
        one.only(_CHECK_FIELDS)
        if one.text("Status") not in ("", *Status):
            raise BadRequest("Status for checks must 'passing', 'warning', 'critical'")
        default_id = f"service:{service.id}" + (f":{number}" if len(given) > 1 else "")
        check_id = one.text("CheckID") or one.text("ID") or default_id
        name = one.text("Name") or f"Service '{service.name}' check"
        checks[check_id] = _check(one, check_id=check_id, name=name, service_id=service.id)
    return tuple(checks.values())


def _check(fields: Fields, *, check_id: str, name: str, service_id: str) -> CheckDefinition:
    reap_after_s = fields.duration_s("DeregisterCriticalServiceAfter")
    return CheckDefinition(
        id=check_id,
        name=name,
        run=_run(fields),
        notes=fields.text("Notes"),
        status=Status(fields.text("Status") or Status.CRITICAL),
        service_id=service_id,
        reap_after_s=max(reap_after_s, _REAP_MIN_S) if reap_after_s > 0 else None,
    )


def _run(fields: Fields) -> Ttl | Repeated:
    if any(fields.given(name) for name in _SCRIPTS):
        raise ApiError(
            500,
            "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true",
        )
    for name in _NOT_RUN:
        if fields.given(name):
            raise BadRequest(f"Invalid check: the embedded agent runs TTL, HTTP and TCP checks, not {name}.")
    interval_s, ttl_s = fields.duration_s("Interval"), fields.duration_s("TTL")
    url, address = fields.text("HTTP"), fields.text("TCP")
    output_max_bytes = fields.number("OutputMaxSize") or OUTPUT_MAX_BYTES
    if interval_s > 0 and ttl_s > 0:
        raise BadRequest("Invalid check: Interval and TTL cannot both be specified")
    if output_max_bytes < 0:
        raise BadRequest("Invalid check: MaxOutputMaxSize must be positive")
    if not url and not address:
        if ttl_s <= 0:
            raise BadRequest("Invalid check: TTL must be > 0 for TTL checks")
        return Ttl(ttl_s, output_max_bytes)
    if interval_s <= 0:
        raise BadRequest("Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks")
    return Repeated(
        _http_probe(fields, url, output_max_bytes) if url else TcpProbe(address, _timeout_s(fields)),
        interval_s=max(interval_s, _INTERVAL_MIN_S),
        successes=fields.number("SuccessBeforePassing"),
        failures=fields.number("FailuresBeforeCritical"),
    )


def _http_probe(fields: Fields, url: str, output_max_bytes: int) -> HttpProbe:
    return HttpProbe(
        url,
        method=fields.text("Method") or "GET",
        headers=MappingProxyType(fields.texts_map("Header")),
        body=fields.text("Body"),
        verify_tls=not fields.flag("TLSSkipVerify"),
        follow_redirects=not fields.flag("DisableRedirects"),
        timeout_s=_timeout_s(fields),
        output_max_bytes=output_max_bytes,
    )


def _timeout_s(fields: Fields) -> float:
    timeout_s = fields.duration_s("Timeout")
    return timeout_s if timeout_s > 0 else TIMEOUT_S


def _address(address: str) -> str:
    if address in ("0.0.0.0", "::", "[::]"):
        raise BadRequest("Invalid service address")
    return address


def _tagged(fields: Fields, service: Service) -> dict[str, tuple[str, int]]:
    """The tagged addresses given, and those that Consul adds for an address that is an IP."""
    tagged = {
        tag: (one.text("Address"), one.number("Port")) for tag, one in fields.nested_map("TaggedAddresses").items()
    }
    try:
        version = ip_address(service.address).version
    except ValueError:
        return tagged
    own = (service.address, service.port)
    return {f"lan_ipv{version}": own, f"wan_ipv{version}": own} | tagged


def _weights(fields: Fields) -> Weights:
    fields.only(("Passing", "Warning"))
    weights = Weights(passing=fields.number("Passing"), warning=fields.number("Warning"))
    if weights.passing < 1:
        raise BadRequest("Invalid Weights: Passing must be greater than 0")
    if weights.warning < 0:
        raise BadRequest("Invalid Weights: Warning must be greater or equal than 0")
    if max(weights.passing, weights.warning) > _WEIGHT_MAX:
        raise BadRequest("Invalid Weights: DNS Weight must be between 0 and 65535")
    return weights


def _meta(meta: dict[str, str]) -> dict[str, str]:
    if len(meta) > _META_PAIRS_MAX:
        raise BadRequest(
            f"Invalid Service Meta: Node metadata cannot contain more than {_META_PAIRS_MAX} key/value pairs"
        )
    for key, value in meta.items():
        why = _meta_fault(key, value)
        if why:
            raise BadRequest(f"Invalid Service Meta: Couldn't load metadata pair ('{key}', '{value}'): {why}")
    return meta


def _meta_fault(key: str, value: str) -> str:
    """What is wrong with one pair of metadata; empty if nothing is."""
    if not key:
        return "Key cannot be blank"
    if not _META_KEY.fullmatch(key):
        return "Key contains invalid characters"
    if len(key) > _META_KEY_MAX:
        return f"Key is too long (limit: {_META_KEY_MAX} characters)"
    if key.startswith("consul-"):
        return "Key prefix 'consul-' is reserved for internal use"
    if len(value) > _META_VALUE_MAX:
        return f"Value is too long (limit: {_META_VALUE_MAX} characters)"
    return ""
