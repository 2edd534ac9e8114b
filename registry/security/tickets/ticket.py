"""A ticket: the permission to use one service for a short time, as a value and as the JWT that a lookup service signs.

The signature is EdDSA with Ed25519 (RFC 8037) and nothing else: a ticket's own header never decides how the ticket is
checked (RFC 8725, 3.1). PyJWT reads and writes the text. Pure: times are given, in seconds since 1970.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from registry.security.caller import Quota

ISSUER = "p2p-registry"
ALGORITHM = "EdDSA"

SKEW_S = 30
"""How far the clocks of two hosts may differ."""

LONGEST_TICKET = 2048
"""Characters; a longer text is refused before any of it is decoded."""

LONGEST_LIFETIME_S = 3600
"""A ticket that says it lives longer is refused, whoever signed it: workers keep no list of withdrawn tickets."""

LARGEST_NUMBER = 1 << 53

_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_OPTIONS: Any = {
    # The claims are checked below, by type and value: PyJWT takes "60" and true for numbers, and lists of audiences.
    "verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False, "verify_iss": False,
    "verify_sub": False, "verify_jti": False,
}  # fmt: skip

PublicKeys = Mapping[str, Ed25519PublicKey]
"""Public keys by their key ids."""


class TicketRefused(Exception):
    """A ticket that does not permit the request: the HTTP status that says so, and a sentence for the user."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Limits:
    """What a ticket allows at most, None being no limit of its own.

    max_body_bytes: the size of a request's body. max_requests: how many requests at each worker, which recognises the
    ticket by `ticket_id`. deadline_s: how long one request may take.
    """

    max_body_bytes: int | None = None
    max_requests: int | None = None
    ticket_id: str | None = None
    deadline_s: float | None = None


NO_LIMITS = Limits()
NO_QUOTA = Quota()


@dataclass(frozen=True, slots=True)
class Ticket:
    """The permission of `caller` to use `service` from `issued_s` to `expires_s`.

    instance_id: the registration id of the one worker that may be used; None stands for any worker of the service.
    """

    caller: str
    service: str
    issued_s: int
    expires_s: int
    instance_id: str | None = None
    limits: Limits = NO_LIMITS
    quota: Quota = NO_QUOTA


def sign(ticket: Ticket, key: Ed25519PrivateKey, key_id: str) -> str:
    """The ticket as a signed JWT."""
    return jwt.encode(_claims(ticket), key, algorithm=ALGORITHM, headers={"kid": key_id})


def verify(text: str, keys: PublicKeys) -> Ticket:
    """The ticket that one of `keys` has signed. Raises TicketRefused (401) for any other text; checks no time."""
    if len(text) > LONGEST_TICKET or not _FORM.fullmatch(text) or not all(map(_is_canonical, text.split("."))):
        raise TicketRefused(401, "The ticket is malformed: ask the lookup service for one.")
    try:
        header = jwt.get_unverified_header(text)
    except jwt.PyJWTError:
        raise TicketRefused(401, "The ticket is malformed: ask the lookup service for one.") from None
    if header.get("alg") != ALGORITHM or header.get("typ") != "JWT" or not header.keys() <= {"alg", "typ", "kid"}:
        raise TicketRefused(401, f"The ticket is not signed with {ALGORITHM}: ask the lookup service for one.")
    key_id = header.get("kid")
    key = keys.get(key_id) if isinstance(key_id, str) else None
    if key is None:
        raise TicketRefused(401, "The ticket's key is unknown or was revoked: ask the lookup service for another one.")
    try:
        claims = jwt.decode(text, key, algorithms=[ALGORITHM], options=_OPTIONS)
    except jwt.PyJWTError:
        raise TicketRefused(401, "The ticket's signature is wrong: ask the lookup service for a ticket.") from None
    return _ticket(claims)


def _is_canonical(part: str) -> bool:
    """Whether a part of a JWT is the one way to write its bytes; not every version of PyJWT looks at that."""
    try:
        raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return False
    return urlsafe_b64encode(raw).rstrip(b"=") == part.encode()


def check_time(ticket: Ticket, now_s: float) -> None:
    """Raise TicketRefused (401) where the ticket is not valid at `now_s`, give or take SKEW_S."""
    if now_s >= ticket.expires_s + SKEW_S:
        raise TicketRefused(401, "The ticket has expired: ask the lookup service for another one.")
    if now_s < ticket.issued_s - SKEW_S:
        raise TicketRefused(401, "The ticket is not valid yet: compare this host's clock with the lookup service's.")


def _claims(ticket: Ticket) -> dict[str, Any]:
    limits, quota = ticket.limits, ticket.quota
    claims = {
        "iss": ISSUER,
        "sub": ticket.caller,
        "aud": ticket.service,
        "iat": ticket.issued_s,
        "nbf": ticket.issued_s,
        "exp": ticket.expires_s,
        "wid": ticket.instance_id,
        "max_body": limits.max_body_bytes,
        "max_requests": limits.max_requests,
        "jti": limits.ticket_id,
        "deadline_s": limits.deadline_s,
        "rate": quota.rate_hz,
        "concurrency": quota.concurrency,
    }
    return {name: value for name, value in claims.items() if value is not None}


def _ticket(claims: Mapping[str, Any]) -> Ticket:
    """The ticket with these claims, each of its type and in its bounds; raises TicketRefused (401) otherwise."""
    try:
        limits = Limits(
            _optional_whole(claims, "max_body"),
            _optional_whole(claims, "max_requests"),
            _optional_text(claims, "jti"),
            _optional_positive(claims, "deadline_s"),
        )
        quota = Quota(_optional_positive(claims, "rate"), _optional_positive(claims, "concurrency", most=1.0))
        ticket = Ticket(
            caller=_text(claims["sub"]),
            service=_text(claims["aud"]),
            issued_s=max(_whole(claims["iat"]), _whole(claims["nbf"])),
            expires_s=_whole(claims["exp"]),
            instance_id=_optional_text(claims, "wid"),
            limits=NO_LIMITS if limits == NO_LIMITS else limits,
            quota=NO_QUOTA if quota == NO_QUOTA else quota,
        )
        if claims["iss"] != ISSUER or not 0 < ticket.expires_s - ticket.issued_s <= LONGEST_LIFETIME_S:
            raise ValueError
        if limits.max_requests is not None and limits.ticket_id is None:
            raise ValueError
    except (KeyError, ValueError):
        raise TicketRefused(401, "The ticket's claims are invalid: ask the lookup service for a ticket.") from None
    return ticket


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_NUMBER:
        raise ValueError
    return value


def _positive(value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise ValueError
    return float(value)


def _optional_text(claims: Mapping[str, Any], name: str) -> str | None:
    return _text(claims[name]) if name in claims else None


def _optional_whole(claims: Mapping[str, Any], name: str) -> int | None:
    return _whole(claims[name]) if name in claims else None


def _optional_positive(claims: Mapping[str, Any], name: str, *, most: float = LARGEST_NUMBER) -> float | None:
    return _positive(claims[name], most) if name in claims else None
