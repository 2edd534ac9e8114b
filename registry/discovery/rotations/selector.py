"""Which instances of a service a request wants: by version, tags and hosts. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from registry.instances.instance import Instance, is_version_tag


@dataclass(frozen=True, slots=True)
class Selector:
    """What a request asks of a worker besides its service. An empty field selects any."""

    version: str = ""
    tags: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    @property
    def names_version(self) -> bool:
        """Whether it asks for a certain version, by its number or by its tag."""
        return bool(self.version) or any(is_version_tag(tag) for tag in self.tags)

    def matches(self, instance: Instance) -> bool:
        """Whether the instance has everything that is selected."""
        return (
            (not self.version or self.version in instance.versions)
            and self.tags.issubset(instance.tags)
            and (not self.hosts or instance.host in self.hosts)
        )


ANY = Selector()
