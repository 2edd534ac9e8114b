"""Which instances of a service a request wants: by version, tags and hosts. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from registry.instances.instance import Instance


@dataclass(frozen=True, slots=True)
class Selector:
    """What a request asks of a worker besides its service. An empty field selects any."""

    version: str = ""
    tags: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    def matches(self, instance: Instance) -> bool:
        """Whether the instance has everything that is selected."""
        return (
            (not self.version or self.version in instance.versions)
            and self.tags.issubset(instance.tags)
            and (not self.hosts or instance.host in self.hosts)
        )


ANY = Selector()
