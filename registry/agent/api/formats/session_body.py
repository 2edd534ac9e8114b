"""The body of session/create, turned into a session. Pure.

As in Consul, a session depends on its node's agent being alive unless the body lists other checks, and unknown
fields are ignored.
"""

from __future__ import annotations

from registry.agent.api.formats.go_duration import format_duration, parse_duration
from registry.agent.api.formats.json_body import Fields, decode_object
from registry.agent.errors import ApiError
from registry.agent.state.sessions import DELETE, RELEASE, TTL_MAX_S, TTL_MIN_S, Session
from registry.agent.state.store import OWN_CHECK_ID

_LOCK_DELAY_S = 15.0
# Clients write 5 and mean seconds, while Go counts nanoseconds: below this number a lock delay is in seconds.
_NANOSECONDS_MIN = 1000


def session_definition(body: bytes, *, session_id: str, own_node: str) -> Session:
    """The session that a body asks for; an empty body asks for one of the agent's own node. Raises ApiError."""
    fields = decode_object(body) if body else Fields({})
    behavior = fields.text("Behavior") or RELEASE
    ttl = fields.text("TTL")
    checks, node_checks = _checks(fields)
    session = Session(
        id=session_id,
        node=fields.text("Node") or own_node,
        name=fields.text("Name"),
        lock_delay_s=_lock_delay_s(fields),
        behavior=behavior,
        ttl=ttl,
        node_checks=node_checks,
        service_checks=_service_checks(fields),
        checks=checks,
        ttl_s=_ttl_s(ttl),
    )
    if behavior not in (RELEASE, DELETE):
        raise ApiError(500, f"Invalid Behavior setting '{behavior}'")
    return session


def _checks(fields: Fields) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields Checks and NodeChecks, where the one names nothing else than the other's default."""
    checks = fields.texts("Checks") if fields.named("Checks") else (OWN_CHECK_ID,)
    node_checks = fields.texts("NodeChecks") if fields.named("NodeChecks") else (OWN_CHECK_ID,)
    if not checks:
        return (), ()
    return (() if checks == (OWN_CHECK_ID,) or not node_checks else checks), node_checks


def _service_checks(fields: Fields) -> tuple[tuple[str, str], ...] | None:
    if not fields.has("ServiceChecks"):
        return None
    return tuple((one.text("ID"), one.text("Namespace")) for one in fields.nested_list("ServiceChecks"))


def _lock_delay_s(fields: Fields) -> float:
    if not fields.has("LockDelay"):
        return _LOCK_DELAY_S
    seconds = fields.duration_s("LockDelay")
    return seconds * 1e9 if seconds * 1e9 < _NANOSECONDS_MIN else seconds


def _ttl_s(ttl: str) -> float:
    try:
        seconds = parse_duration(ttl) if ttl else 0.0
    except ValueError as error:
        raise ApiError(500, f"Session TTL '{ttl}' invalid: {error}") from error
    if seconds and not TTL_MIN_S <= seconds <= TTL_MAX_S:
        limits = f"{format_duration(TTL_MIN_S)}={format_duration(TTL_MAX_S)}"
        raise ApiError(500, f"Invalid Session TTL '{round(seconds * 1e9)}', must be between [{limits}]")
    return seconds
