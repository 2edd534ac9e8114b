"""Is this answer of Consul's to be believed? Pure decisions: a belief and an answer in, a belief out.

Consul can say with a straight face that a service has no workers: after an agent lost its data it answers
200, an empty list, a known leader and a lower index. Whoever believes that sends every client away. So a set
that shrinks in a suspicious way is held for a grace time and asked for again; a worker that said goodbye
(maintenance before it deregistered) is let go at once. The rules are those of docs/reference/lifecycle-and-failures.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from registry.consul.instance import Health, Instance, Snapshot

GRACE_S = 15.0
"""How long a suspicious disappearance is held: longer than a worker needs to register again (10 s)."""

LAST_CONTACT_LIMIT_MS = 10_000
"""A follower agent that heard from the leader longer ago than this answers from the past."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a 200 of `/v1/health/service/NAME` said.

    `hidden`: nobody is named, and Consul was found to leave out what our token may not read (any more).
    """

    index: int
    instances: tuple[Instance, ...]
    known_leader: bool = True
    last_contact_ms: int = 0
    hidden: bool = False

    @property
    def current(self) -> bool:
        """Whether it is the whole truth, from a leader that was heard of recently."""
        return self.known_leader and self.last_contact_ms <= LAST_CONTACT_LIMIT_MS and not self.hidden


@dataclass(frozen=True, slots=True)
class Belief:
    """What is held to be true of a service.

    `index` is what the next question carries. `suspect_until_s` (monotonic) is set while instances are held
    that Consul no longer names. `proven` are the ids that were once seen to serve, of those still named.
    `stale` says that the last answer came from the past. `known` is False until anything was learned.
    """

    snapshot: Snapshot
    index: int = 0
    suspect_until_s: float | None = None
    proven: frozenset[str] = field(default_factory=frozenset)
    stale: bool = False
    known: bool = False

    @property
    def eligible(self) -> tuple[Instance, ...]:
        """Those to hand out: the serving ones, or all that ever served if less than half still does.

        Most of a set failing its checks at once means that the checks are wrong (an agent that has just
        restarted calls everything critical), or that the rest would be crushed: Envoy's panic threshold.
        An operator's maintenance is never overruled.
        """
        serving = self.snapshot.serving
        candidates = tuple(
            i for i in self.snapshot.instances if i.health is not Health.MAINTENANCE and i.id in self.proven
        )
        return candidates if len(serving) * 2 < len(candidates) else serving


def judge(belief: Belief, answer: Answer, *, now_s: float) -> Belief:
    """What to believe after `answer`."""
    named = {i.id for i in answer.instances}
    missing = tuple(i for i in belief.snapshot.serving if i.id not in named)
    suspicious = answer.index < belief.index or not answer.known_leader or not answer.instances
    until = _suspect_until(belief, missing=bool(missing), suspicious=suspicious, now_s=now_s, answer=answer)
    instances = answer.instances + missing if until is not None else answer.instances
    return Belief(
        snapshot=Snapshot(belief.snapshot.service, answer.index, tuple(sorted(instances, key=_by_id))),
        index=next_index(belief.index, answer.index),
        suspect_until_s=until,
        proven=frozenset(i.id for i in instances if i.health.serving or i.id in belief.proven),
        stale=not answer.current,
        known=True,
    )


def doubt(belief: Belief) -> Belief:
    """What to believe after an answer that was no 200: the same, marked stale; its index means nothing."""
    return replace(belief, stale=True)


def next_index(asked: int, answered: int) -> int:
    """The index of the next question: Consul's rule is to start again at 0 when it goes backwards.

    And never to ask with 0 because a broken answer carried it, which would turn the long poll into a poll.
    """
    return 0 if answered < asked else max(1, answered)


def _suspect_until(belief: Belief, *, missing: bool, suspicious: bool, now_s: float, answer: Answer) -> float | None:
    if not missing:
        return None
    if belief.suspect_until_s is None:
        return now_s + GRACE_S if suspicious else None
    if now_s < belief.suspect_until_s:
        return belief.suspect_until_s
    # The grace is over: only a second reading that is sound in itself lets the missing go.
    sound = answer.known_leader and not answer.hidden and answer.index >= belief.index
    return None if sound else now_s + GRACE_S


def _by_id(instance: Instance) -> str:
    return instance.id
