"""One followed service: its current snapshot, its split, and a rotation over both for each kind of request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b

from registry.backend.source import Source
from registry.discovery.rotations.rotation import Rotation
from registry.discovery.rotations.selector import ANY, Selector
from registry.discovery.rotations.split_rotation import AnyRotation, SplitRotation, present
from registry.discovery.saved.saved_snapshot import SavedSnapshot
from registry.discovery.snapshot import Snapshot
from registry.discovery.transition import Observe, Transition, ignore
from registry.discovery.watch import IsHidden, ServiceWatch
from registry.instances.instance import Instance
from registry.rollout.record import Rollout, shadows_text, split_text
from registry.rollout.shares import Shares, absence, shares
from registry.runtime.tasks.race import event_within
from registry.runtime.tasks.supervise import cancel_all, start_supervised

logger = logging.getLogger(__name__)

FIRST_ANSWER_WAIT_S = 2.0
"""How long a request for a service that was never asked for waits for the backend; a DNS client waits 5 s."""

ROTATIONS_AT_MOST = 256
"""Rotations kept per service; the one whose selector was unused for longest is dropped, and would start anew."""

INDEX_BYTES = 6
"""The index is a JSON number that every client reads exactly: below 2**53."""


class Service:
    """One followed service.

    `generation` is another object whenever rotations fetched before must be fetched anew, when the snapshot becomes
    stale or is confirmed again, and when following has ended.

    `panic` is that of the snapshot, counted once for each change and not at each answer.

    Each request for the service sets `asked_for`. Created within a running event loop; following begins at once and
    ends with `stop`. `datacenter` is "" for that of our own agent. `changed` is called when the set has changed,
    `observe` with each transition. `rollout` is the service's record while it is in force, and `shares` which versions
    get calls by it.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        changed: Callable[[], None],
        is_hidden: IsHidden,
        saved: SavedSnapshot | None = None,
        datacenter: str = "",
        observe: Observe = ignore,
    ) -> None:
        self.name = name
        self.datacenter = datacenter
        self.watch = ServiceWatch(
            source, name, self._changed, saved=saved, is_hidden=is_hidden, observe=self._observed, datacenter=datacenter
        )
        self._observe = observe
        self.generation = object()
        self.panic = self.watch.snapshot.panic
        self.rollout: Rollout | None = None
        self.shares: Shares | None = None
        self.asked_for = True
        self._asked_for_s = time.monotonic()
        self._waiting = 0
        self._on_change = changed
        self._index: int | None = None
        self._change = asyncio.Event()
        self._rotations: OrderedDict[Selector, AnyRotation] = OrderedDict()
        self._hosts: frozenset[str] = frozenset()
        self._task = start_supervised(f"follow {name}", self.watch.run)

    @property
    def snapshot(self) -> Snapshot:
        """The instances as known now."""
        return self.watch.snapshot

    @property
    def index(self) -> int:
        """What long polls compare: a digest of the instances, so that all processes with the same set agree on it."""
        if self._index is None:
            self._index = _digest(self.snapshot, self.rollout)
        return self._index

    def serves(self, selector: Selector) -> bool:
        """Whether an instance that `selector` matches is healthy."""
        return any(selector.matches(instance) for instance in self.snapshot.serving)

    def rotation(self, selector: Selector = ANY) -> AnyRotation:
        """The rotation over the instances that `selector` matches; it continues where it was.

        The split holds for all of them, except where the selector names a version.
        The rotation over all instances is never dropped, whatever else is asked for.
        """
        if selector.hosts and (known := selector.hosts & self._hosts):
            selector = replace(selector, hosts=known)  # however a client calls this host, the rotation is the same
        rotation = self._rotations.get(selector)
        if rotation is None:
            rotation = self._new_rotation(selector, (i for i in self.snapshot.eligible if selector.matches(i)))
            if rotation:  # a selector that matches nothing must not push another out
                self._rotations[selector] = rotation
                if len(self._rotations) > ROTATIONS_AT_MOST:
                    del self._rotations[next(s for s in self._rotations if s != ANY)]
                    self.generation = object()
        else:
            self._rotations.move_to_end(selector)
        return rotation

    def use_rollout(self, rollout: Rollout | None) -> None:
        """Take up the service's record; None: there is none, and every instance gets calls by its weight."""
        rollout = rollout if rollout is not None and rollout.in_force else None
        if rollout == self.rollout:
            return
        anew = rollout is None or self.rollout is None
        self.rollout = rollout
        if anew:
            self._rotations.clear()
        for rotation in self._rotations.values():
            if isinstance(rotation, SplitRotation) and rollout is not None:
                rotation.rollout = rollout
        split, shadows = (rollout.split, rollout.shadows) if rollout is not None else ({}, {})
        said = f"the split is {split_text(split)}; shadows: {shadows_text(shadows)}"
        self._observe(Transition(self.snapshot, self.snapshot, datacenter=self.datacenter, split=said))
        self._announce()

    async def wait_for_change(self, index: int, *, timeout_s: float) -> None:
        """Return when the set is no longer that of `index`, or after `timeout_s`."""
        if index != self.index or self._task.done():
            return
        self._waiting += 1
        try:
            await event_within(self._change, timeout_s)
        finally:
            self._waiting -= 1

    async def wait_until_known(self, *, timeout_s: float = FIRST_ANSWER_WAIT_S) -> bool:
        """Wait for the first answer of the backend; whether it came within `timeout_s`."""
        return await event_within(self.watch.first_answer, timeout_s)

    async def stop(self) -> None:
        """Stop following; requests that wait for a change are answered with what is known."""
        self.generation = object()
        await cancel_all(self._task)
        self._change.set()

    def idle_s(self, now_s: float) -> float:
        """For how long nobody has asked for the service, as far as repeated calls of this method can tell."""
        if self.asked_for or self._waiting:
            self.asked_for, self._asked_for_s = False, now_s
        return now_s - self._asked_for_s

    def _observed(self, transition: Transition) -> None:
        self.generation = object()
        self._observe(transition)

    def _changed(self, snapshot: Snapshot) -> None:
        panic = snapshot.panic
        self.panic = panic
        self._hosts = frozenset(instance.host for instance in snapshot.instances)
        self._announce()

    def _announce(self) -> None:
        """Bring the rotations up to date, and let go all who wait for a change."""
        eligible = self.snapshot.eligible
        for selector, rotation in self._rotations.items():
            rotation.replace(i for i in eligible if selector.matches(i))
        self._share_out(eligible)
        self._index = None
        self.generation = object()
        changed, self._change = self._change, asyncio.Event()
        changed.set()
        self._on_change()

    def _new_rotation(self, selector: Selector, instances: Iterable[Instance]) -> AnyRotation:
        if self.rollout is None or selector.names_version:
            return Rotation(instances)
        return SplitRotation(self.rollout, instances)

    def _share_out(self, eligible: Sequence[Instance]) -> None:
        """Work out which versions get calls, and say when one with a weight has lost its last healthy worker."""
        before, self.shares = self.shares, None
        if self.rollout is None:
            return
        now = self.shares = shares(self.rollout, present(eligible))
        absent_before = before.absent if before is not None else ()
        if now.absent and now.absent != absent_before and self.snapshot.known:
            logger.warning(absence(self.name, now.absent, now.weights))
        elif absent_before and not now.absent:
            logger.warning("All versions in the split of %s have a healthy worker again.", self.name)


async def first_change(services: Sequence[Service], *, timeout_s: float) -> None:
    """Return when the set of one of the services is another than now, or after `timeout_s`."""
    if len(services) == 1:
        return await services[0].wait_for_change(services[0].index, timeout_s=timeout_s)
    waiting = [asyncio.create_task(each.wait_for_change(each.index, timeout_s=timeout_s)) for each in services]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_all(*waiting)


def _digest(snapshot: Snapshot, rollout: Rollout | None) -> int:
    """A positive number that is the same for the same content, in every process, and another for another content."""
    digest = blake2b(digest_size=INDEX_BYTES)
    for i in snapshot.instances:
        fields = (i.id, i.host, i.port, i.weight, i.version, i.tags, i.boot, i.health.value, sorted(i.meta.items()))
        digest.update(repr(fields).encode(errors="backslashreplace"))
    digest.update(repr((sorted(snapshot.unreachable), snapshot.unusable)).encode(errors="backslashreplace"))
    if rollout is not None:
        digest.update(repr((sorted(rollout.split.items()), sorted(rollout.shadows.items()))).encode())
    return max(1, int.from_bytes(digest.digest()))
