"""Whether a caller may do what it asks for: the Authorization header, the needed role, the service. Pure."""

from __future__ import annotations

from registry.security.caller import ANONYMOUS, Caller, Role
from registry.security.tokens.token_file import Tokens

CHALLENGE = 'Bearer realm="p2p"'
"""The WWW-Authenticate header of a 401."""

_SCHEME = "bearer "


class AccessDenied(Exception):
    """A request that is refused: `status`, one sentence, and the WWW-Authenticate header if there is one."""

    def __init__(self, status: int, sentence: str, *, challenge: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.challenge = challenge


def bearer_token(authorization: str | None) -> str | None:
    """The token in an Authorization header; None without one, or with another scheme."""
    if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
        return None
    return authorization[len(_SCHEME) :].strip() or None


def caller_of(tokens: Tokens | None, authorization: str | None) -> Caller:
    """Who asks; ANONYMOUS at a port without tokens. Raises AccessDenied (401)."""
    if tokens is None:
        return ANONYMOUS
    token = bearer_token(authorization)
    if token is None:
        raise AccessDenied(401, "A token is needed here: send Authorization: Bearer TOKEN.", challenge=CHALLENGE)
    caller = tokens.caller(token)
    if caller is None:
        raise AccessDenied(401, "This token is not known here: ask the operator for one.", challenge=CHALLENGE)
    return caller


def check_role(caller: Caller, role: Role) -> None:
    """Raise AccessDenied (403) where the caller lacks the role; an operator may do all that a client may."""
    if role not in caller.roles and Role.OPERATOR not in caller.roles:
        raise AccessDenied(403, f"The token of {caller.name} may not do this: it takes one with the role {role}.")


def may_use(caller: Caller, service: str) -> bool:
    """Whether the caller may ask for this service."""
    return caller.services is None or service in caller.services


def check_service(caller: Caller, service: str) -> None:
    """Raise AccessDenied (403) where the caller may not ask for this service, whether or not it exists."""
    if not may_use(caller, service):
        raise AccessDenied(403, f"The token of {caller.name} is not for the service {service!r}.")
