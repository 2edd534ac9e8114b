"""What a host is in a deployment. Pure."""

from __future__ import annotations

import enum


class Role(enum.StrEnum):
    """What runs on a host, or is done from it; it may have several."""

    WORKER = "worker"
    LOOKUP = "lookup"
    CLIENT = "client"
    OPERATOR = "operator"

    @property
    def noun(self) -> str:
        """The role in a sentence."""
        return _NOUNS[self]


_NOUNS = {
    Role.WORKER: "a worker",
    Role.LOOKUP: "a lookup service",
    Role.CLIENT: "a client without a lookup service",
    Role.OPERATOR: "an operator",
}
