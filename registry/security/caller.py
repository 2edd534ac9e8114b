"""A caller: the name, roles, services and quota that a token or a ticket stands for."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller may do; an operator may do all that a client may."""

    CLIENT = "client"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Quota:
    """How much one caller may ask for; None stands for no limit.

    rate_hz: requests a second at each worker, and lookups a second at each lookup process.
    concurrency: the share, above 0 and at most 1, of a worker's places that the caller may hold at a time.
    """

    rate_hz: float | None = None
    concurrency: float | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who is known by name; services None stands for every service."""

    name: str
    roles: frozenset[Role]
    services: frozenset[str] | None = None
    quota: Quota = Quota()


# The caller at ports that ask for no token.
ANONYMOUS = Caller("anonymous", frozenset({Role.CLIENT, Role.OPERATOR}))
