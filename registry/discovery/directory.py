"""Which services are followed: the default service, every service with our tag, and others once they are asked for.

A service is followed by one watch per process, however many clients ask for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from registry.backend.source import Source
from registry.discovery.following_limit import FOLLOWED_AT_MOST, FollowedService, service_to_give_up
from registry.discovery.nearness import Nearness
from registry.discovery.saved.saved_snapshot import SavedSnapshot
from registry.discovery.saved.state_file import as_saved, keep_saved, load
from registry.discovery.service import FIRST_ANSWER_WAIT_S, Service
from registry.discovery.service_list import ServiceList
from registry.discovery.snapshot import Snapshot
from registry.discovery.transition import Observe, ignore
from registry.instances.instance import TAG, Health
from registry.rollout.record import Rollout
from registry.runtime.tasks.race import event_within
from registry.runtime.tasks.supervise import cancel_all, start_supervised

logger = logging.getLogger(__name__)

REASONS_SHOWN = 3
"""How many of operators' reasons for a maintenance a sentence names."""


class Directory:
    """All followed services, and the names of all others.

    An async context manager: following begins on entry and has ended on exit. `state` is the file that keeps the last
    good snapshots over restarts; None keeps nothing. At most `followed_at_most` services are followed at a time.
    `datacenter` names another one than that of our agent; of it only services that are asked for are followed.
    `observe` is told of the transitions of all services.
    """

    def __init__(
        self,
        source: Source,
        *,
        default: str,
        state: Path | None = None,
        followed_at_most: int = FOLLOWED_AT_MOST,
        datacenter: str = "",
        observe: Observe = ignore,
    ) -> None:
        self.default = default
        self.product = source.product
        self.followed_at_most = followed_at_most
        self._source = source
        self._datacenter = datacenter
        self._observe = observe
        self._state = state
        self._names: Sequence[str] | None = None
        self._full = False
        self._saved: Mapping[str, SavedSnapshot] = {}
        self._changed = asyncio.Event()
        self._services: dict[str, Service] = {}
        self.nearness = Nearness(source)
        self._list = ServiceList(source, self._follow_listed)
        self._spellings: dict[str, str] = {}
        self._rollouts: Mapping[str, Rollout] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Directory:
        if self._state is not None:
            path, consul = self._state, self._source.url
            self._saved = await asyncio.to_thread(load, path, consul=consul)
            self._rollouts = {name: saved.rollout for name, saved in self._saved.items() if saved.rollout is not None}
            saving = partial(keep_saved, path, self._to_save, self._changed, consul=consul)
            self._tasks.append(start_supervised("save the last good snapshots", saving))
        if not self._datacenter:
            self._follow(self.default)
        for name in sorted(self._saved, key=self._is_ours, reverse=True):
            if name not in self._services and len(self._services) < self.followed_at_most:
                self._follow(name)
        self._tasks.append(start_supervised("follow the list of services", self._list.run))
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_all(*self._tasks)
        await asyncio.gather(*self._stopping, *(service.stop() for service in self._services.values()))

    @property
    def ready(self) -> bool:
        """Whether it is known which services there are, and what instances the default one has."""
        return self._list.known and self._services[self.default].snapshot.known

    @property
    def listed(self) -> bool:
        """Whether the backend has said which services there are."""
        return self._list.known

    @property
    def names(self) -> Sequence[str]:
        """Every service that may be asked for, followed ones first; sorted only when something has changed."""
        if self._names is None:
            others = (name for name in self._list.tags if self._is_others(name))
            self._names = sorted(name for name in self._services if self.exists(name)) + sorted(others)
        return self._names

    async def wait_until_listed(self) -> bool:
        """Wait until the backend has said which services there are; whether that came within FIRST_ANSWER_WAIT_S."""
        return await event_within(self._list.first_answer, FIRST_ANSWER_WAIT_S)

    def services(self) -> Iterable[Service]:
        """The followed services."""
        return self._services.values()

    def exists(self, name: str) -> bool:
        """Whether there is such a service: the backend lists it, or the last snapshot has instances of it."""
        service = self._services.get(name)
        return name in self._list or (service is not None and bool(service.snapshot.instances))

    def registered_name(self, name: str) -> str:
        """The name as it is registered, where `name` differs from it in case only; else `name` in lower case."""
        lower = name.lower()
        spelling = lower if self.exists(lower) else self._spellings.get(lower, lower)
        return spelling if self.exists(spelling) else lower

    def hint(self, service: Service) -> str:
        """Why a service has no worker to hand out: all are in maintenance, or the token lacks a right; "" if not known.

        Consul leaves out what a token may not read, and answers 200 all the same; ZooKeeper refuses.
        """
        if service.snapshot.instances or not self._list.known:
            return _maintenance(service.snapshot)
        return self._source.hint(listed=service.name in self._list, complete=self._list.complete)

    def followed(self, name: str) -> Service | None:
        """The service if it is followed already."""
        return self._services.get(name)

    def find(self, name: str) -> Service | None:
        """The service, followed from now on if the backend lists it.

        None where there is none of that name, or where it `exists` and there is no room to follow it.
        """
        service = self._services.get(name)
        if service is None and name in self._list and self._make_room(name, asked_for=True):
            service = self._follow(name)
        if service is not None:
            service.asked_for = True
        return service

    def use_rollouts(self, rollouts: Mapping[str, Rollout]) -> None:
        """Take up the records of services, by name, as Consul has them; one that it does not have stays."""
        self._rollouts = {**self._rollouts, **rollouts}
        for name, service in self._services.items():
            service.use_rollout(self._rollouts.get(name))

    def leader_lost(self) -> None:
        """The backend has lost its leader: all services are queried at once."""
        for service in self._services.values():
            service.watch.leader_lost()

    def leader_found(self) -> None:
        """The backend has a leader again: what waits after an error is queried at once."""
        self._list.leader_found()
        for service in self._services.values():
            service.watch.leader_found()

    def _follow(self, name: str) -> Service:
        service = Service(
            name,
            self._source,
            changed=self._has_changed,
            is_hidden=self._list.hides,
            saved=self._saved.get(name),
            datacenter=self._datacenter,
            observe=self._observe,
        )
        service.use_rollout(self._rollouts.get(name))
        self._services[name] = service
        self._spellings[name.lower()] = name
        self._names = None
        return service

    def _make_room(self, name: str, *, asked_for: bool) -> bool:
        """Whether the service `name` can be followed, after another one was given up for it if need be."""
        if len(self._services) < self.followed_at_most:
            self._full = False
            return True
        now_s = time.monotonic()
        others = [
            FollowedService(other.name, self._is_ours(other.name), other.idle_s(now_s))
            for other in self._services.values()
            if other.name != self.default
        ]
        given_up = service_to_give_up(others, ours=self._is_ours(name), asked_for=asked_for)
        if given_up is not None:
            self._give_up(given_up)
        elif not self._full:
            self._full = True
            logger.warning("%d services are followed, the most there may be: no room for %r.", len(others) + 1, name)
        return given_up is not None

    def _give_up(self, name: str) -> None:
        stopping = asyncio.create_task(self._services.pop(name).stop(), name=f"stop following {name}")
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)
        self._names = None

    def _is_ours(self, name: str) -> bool:
        """Whether a worker of ours registered the service, as far as is known."""
        if name in self._list:
            return TAG in self._list.tags[name]
        saved = self._saved.get(name)
        return saved is not None and any(TAG in instance.tags for instance in saved.snapshot.instances)

    def _is_others(self, name: str) -> bool:
        """Whether a listed service is not followed, and not one that the backend registers of itself."""
        return name not in self._services and name not in self._source.own_services

    def _has_changed(self) -> None:
        self._names = None
        self._changed.set()

    def _to_save(self) -> Iterable[SavedSnapshot]:
        found = [
            as_saved(service.snapshot, service.watch.confirmed_s, service.rollout)
            for service in self._services.values()
        ]
        return [saved for saved in found if saved is not None]

    async def _follow_listed(self) -> None:
        """Follow new services with our tag; stop following those not listed any more that have no instances left."""
        now_s = time.monotonic()
        for service in self._services.values():
            service.idle_s(now_s)
        listed = {} if self._datacenter else self._list.tags
        for name, tags in listed.items():
            if TAG in tags and name not in self._services and self._make_room(name, asked_for=False):
                self._follow(name)
        gone = [
            name
            for name, service in self._services.items()
            if name != self.default and not self.exists(name) and service.snapshot.known
        ]
        for name in gone:
            await self._services.pop(name).stop()
        spellings = {name.lower(): name for name in sorted(self._list.tags, reverse=True)}
        self._spellings = spellings | {name.lower(): name for name in sorted(self._services, reverse=True)}
        self._names = None


def _maintenance(snapshot: Snapshot) -> str:
    """That all instances are in maintenance, with operators' reasons; "" where one is not, or there are none."""
    instances = snapshot.instances
    if not instances or any(instance.health is not Health.MAINTENANCE for instance in instances):
        return ""
    reasons = sorted({instance.output for instance in instances})
    shown = "; ".join(reasons[:REASONS_SHOWN])
    return f"all {len(instances)} are in maintenance ({shown})"
