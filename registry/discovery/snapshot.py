"""The instances of a service as known at one moment, and how far that is confirmed: frozen values, pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from registry.consul.instance import Health, Instance


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All instances of a service, healthy or not, sorted by id, so that equal sets compare equal.

    `index` goes with the next blocking query. `held_until_s` (monotonic) is set while instances are held that Consul
    no longer names. `proven` are the ids of instances that were once seen to serve. `stale`: the last answer was an
    error, or old. `known` is False until anything was learned of the service.
    """

    service: str
    instances: tuple[Instance, ...] = ()
    index: int = 0
    held_until_s: float | None = None
    proven: frozenset[str] = field(default_factory=frozenset)
    stale: bool = False
    known: bool = False

    @property
    def serving(self) -> tuple[Instance, ...]:
        """The instances whose checks let them take requests."""
        return tuple(instance for instance in self.instances if instance.health.serving)

    @property
    def eligible(self) -> tuple[Instance, ...]:
        """The instances to hand out: the serving ones or, in panic mode, all that ever served.

        Panic mode (Envoy's panic threshold): fewer than half of those that ever served are healthy. Then the checks
        are likelier to be wrong than the workers (an agent that has just restarted calls everything critical), and
        otherwise the load of all would crush the few. Instances in maintenance are never handed out.
        """
        serving = self.serving
        candidates = tuple(
            instance
            for instance in self.instances
            if instance.health is not Health.MAINTENANCE and instance.id in self.proven
        )
        return candidates if len(serving) * 2 < len(candidates) else serving
