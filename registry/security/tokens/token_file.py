"""A token file's text -> the callers that it names, each found by the token that a request presents. Pure.

    [alice]
    token_sha256 = "9f86d0..."       or token = "..."; a list holds several that are valid at once
    roles = ["client"]               the default; "operator" may do all that a client may
    services = ["cats"]              default: all
    rate = 50                        requests per second; default: no limit
    concurrency = 0.25               share of a worker's places; default: no limit

No error quotes a value of the file, since it may be a token.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from registry.runtime.errors import SettingsError
from registry.runtime.names import service_name
from registry.security.caller import ANONYMOUS, Caller, Quota, Role

CALLER_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?")
"""A caller's name: it stands in logs and in tickets."""

TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What a bearer token consists of (RFC 6750, 2.1)."""

_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_FIELDS = frozenset({"token", "token_sha256", "roles", "services", "rate", "concurrency"})
_PLACE = re.compile(r"\(at (?:line \d+, column \d+|end of document)\)")
_SERVICES = 'services is a list of names, such as ["cats"]'


class Tokens:
    """The callers of one token file.

    The time that a look-up takes tells nothing about the tokens: a hash with a random key of this process is looked up.
    """

    def __init__(self, callers: Mapping[bytes, Caller]) -> None:
        """`callers` by the SHA-256 digests of their tokens."""
        self._key = secrets.token_bytes(32)
        self._callers = {self._keyed(digest): caller for digest, caller in callers.items()}

    def caller(self, token: str) -> Caller | None:
        """Whose token this is; None for one that is not in the file."""
        return self._callers.get(self._keyed(hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()))

    @property
    def names(self) -> frozenset[str]:
        """The names of all callers."""
        return frozenset(caller.name for caller in self._callers.values())

    def __repr__(self) -> str:
        return f"Tokens({', '.join(sorted(self.names))})"

    def _keyed(self, digest: bytes) -> bytes:
        return hmac.digest(self._key, digest, "sha256")


def parse_tokens(text: str) -> Tokens:
    """The callers that the text of a token file names. Raises SettingsError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        raise SettingsError(f"It is not TOML{f' {place[0]}' if place else ''}.") from None
    if not tables:
        raise SettingsError("It names no caller: p2p tokens new NAME prints what to add.")
    callers: dict[bytes, Caller] = {}
    for name, table in tables.items():
        caller = _caller(name, table)
        for digest in _digests(name, table):
            if digest in callers:
                raise SettingsError(f"{callers[digest].name} and {name} have the same token: each needs its own.")
            callers[digest] = caller
    return Tokens(callers)


def _caller(name: str, table: Any) -> Caller:
    if not isinstance(table, dict):
        raise SettingsError(f"A value stands outside a table: write [NAME] above it, for the caller {name[:16]!a}.")
    if not CALLER_NAME.fullmatch(name) or name == ANONYMOUS.name:
        raise SettingsError(
            f"{name[:80]!a} cannot name a caller: a name has 1 to 64 letters, digits, dots, dashes, underscores "
            f"and @, and a letter or digit at either end; {ANONYMOUS.name} is taken."
        )
    unknown = sorted(table.keys() - _FIELDS)
    if unknown:
        raise SettingsError(f"[{name}] has a field that does not exist: there are {', '.join(sorted(_FIELDS))}.")
    quota = Quota(_rate_hz(name, table.get("rate")), _concurrency(name, table.get("concurrency")))
    return Caller(name, _roles(name, table.get("roles", [Role.CLIENT])), _services(name, table.get("services")), quota)


def _digests(name: str, table: Mapping[str, Any]) -> Iterable[bytes]:
    """The SHA-256 digests of a caller's tokens, at least one."""
    plain, hashed = _texts(table.get("token", [])), _texts(table.get("token_sha256", []))
    if plain is None or not all(TOKEN.fullmatch(token) for token in plain):
        raise SettingsError(f"[{name}] token must be a text of letters, digits and -._~+/, with = only at its end.")
    if hashed is None or not all(_SHA256.fullmatch(digest) for digest in hashed):
        raise SettingsError(f"[{name}] token_sha256 must be a text of 64 hexadecimal digits.")
    digests = [hashlib.sha256(token.encode()).digest() for token in plain] + [bytes.fromhex(d) for d in hashed]
    if not digests:
        raise SettingsError(f"[{name}] has no token: add token_sha256 or token.")
    return dict.fromkeys(digests)


def _texts(value: Any) -> list[str] | None:
    """A text or a list of texts as a list; None for anything else."""
    values = value if isinstance(value, list) else [value]
    return values if all(isinstance(each, str) for each in values) else None


def _roles(name: str, value: Any) -> frozenset[Role]:
    if not isinstance(value, list) or not value or not all(each in list(Role) for each in value):
        raise SettingsError(f"[{name}] roles is a list of {' and '.join(Role)}.")
    return frozenset(map(Role, value))


def _services(name: str, value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    names = _texts(value) if isinstance(value, list) else None
    if not names:
        raise SettingsError(f"[{name}] {_SERVICES}; leave it out for all.")
    try:
        return frozenset(map(service_name, names))
    except SettingsError:
        raise SettingsError(f"[{name}] {_SERVICES}, and one of these cannot name a service.") from None


def _rate_hz(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or not value > 0:
        raise SettingsError(f"[{name}] rate is a number of requests per second above 0; leave it out for no limit.")
    return float(value)


def _concurrency(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or not 0 < value <= 1:
        raise SettingsError(f"[{name}] concurrency is a share above 0 and at most 1; leave it out for no limit.")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
