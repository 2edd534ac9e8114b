"""A right of Consul's ACL system, and how a policy writes it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Right:
    """`access` ("read", "write") to one `resource` ("service", "node", "key" ...) of the name `segment`.

    All names that begin so are meant with `prefix`, for an empty name, and for a key that ends with a slash.
    """

    resource: str
    access: str
    segment: str
    prefix: bool = False

    @property
    def rule(self) -> str:
        """The right as a rule of a policy."""
        folder = self.resource == "key" and self.segment.endswith("/")
        prefix = "_prefix" if self.prefix or folder or not self.segment else ""
        return f'{self.resource}{prefix} "{self.segment}" {{ policy = "{self.access}" }}'
