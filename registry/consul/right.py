"""A right of Consul's ACL system, and how a policy writes it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Right:
    """`access` ("read", "write") to one `resource` ("service", "node", "key" ...) of the name `segment`.

    With `prefix`, and for an empty name, all names that begin so are meant.
    """

    resource: str
    access: str
    segment: str
    prefix: bool = False

    @property
    def rule(self) -> str:
        """The right as a rule of a policy."""
        prefix = "_prefix" if self.prefix or not self.segment else ""
        return f'{self.resource}{prefix} "{self.segment}" {{ policy = "{self.access}" }}'
