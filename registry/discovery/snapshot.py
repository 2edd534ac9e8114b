"""The instances of a service as known at one moment, and how far that is confirmed: frozen values, pure."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass, field

from registry.instances.instance import Health, Instance
from registry.instances.usability import Unusable


@dataclass(frozen=True, slots=True)
class Panic:
    """Fewer than half of the workers are healthy, so that all are handed out: `healthy` of `total`."""

    healthy: int
    total: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All instances of a service, healthy or not, sorted by id, so that equal sets compare equal.

    `index` goes with the next blocking query. `held_until_s` (monotonic) is set while instances are held that Consul
    no longer names. `proven` are the ids of instances that were once seen to serve. `stale`: the last answer was an
    error, or old. `known` is False until anything was learned of the service. `unusable` are the registrations that
    were left out.

    `not_serving_since_s` (monotonic) says when an instance was first seen not to serve; `unreachable` are the ids of
    those that have refused connections for too long since, and `next_unreachable_s` is when another one joins them.
    """

    service: str
    instances: tuple[Instance, ...] = ()
    index: int = 0
    held_until_s: float | None = None
    proven: frozenset[str] = field(default_factory=frozenset)
    stale: bool = False
    known: bool = False
    unusable: tuple[Unusable, ...] = ()
    not_serving_since_s: Mapping[str, float] = field(default_factory=dict)
    unreachable: frozenset[str] = frozenset()
    next_unreachable_s: float | None = None

    @property
    def content(self) -> tuple[object, ...]:
        """What answers depend on: while it stays the same, nothing has changed for anybody."""
        return self.instances, self.known, self.unreachable, self.unusable

    @property
    def serving(self) -> tuple[Instance, ...]:
        """The instances whose checks let them take requests."""
        return tuple(instance for instance in self.instances if instance.health.serving)

    @property
    def eligible(self) -> tuple[Instance, ...]:
        """The instances to hand out: the serving ones or, in panic mode, all that ever served.

        Panic mode (Envoy's panic threshold): fewer than half of those that ever served are healthy. Then the checks
        are likelier to be wrong than the workers (an agent that has just restarted calls everything critical), and
        otherwise the load of all would crush the few. Instances in maintenance are never handed out, and unreachable
        ones only where no instance serves (docs/decisions/0031-panic-and-refused-connections.md).
        """
        serving, candidates = self.serving, self._candidates()
        return candidates if _is_panic(serving, candidates) else serving

    @property
    def panic(self) -> Panic | None:
        """How many are healthy of how many that are handed out; None outside panic mode."""
        serving, candidates = self.serving, self._candidates()
        return Panic(len(serving), len(candidates)) if _is_panic(serving, candidates) else None

    def _candidates(self) -> tuple[Instance, ...]:
        """The instances that panic mode counts and hands out."""
        left_out = self.unreachable if self.serving else frozenset()
        return tuple(
            instance
            for instance in self.instances
            if instance.health is not Health.MAINTENANCE and instance.id in self.proven and instance.id not in left_out
        )


def _is_panic(serving: Sized, candidates: Sized) -> bool:
    return len(serving) * 2 < len(candidates)
