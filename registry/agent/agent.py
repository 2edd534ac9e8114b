"""The agent itself: registrations and heartbeats come in, the catalogue and the running checks follow.

As with Consul, the agent has a list of its own of what was registered with it, and the catalogue is made to agree
with that list: at once by every change, and once a minute as a whole. All verbs return at once; what runs in the
background (checks, the periodic work) ends with the context.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from registry.agent.checks.definitions import CheckDefinition, ServiceDefinition
from registry.agent.checks.runner import CheckRunner, overdue
from registry.agent.errors import ApiError, BadRequest
from registry.agent.state.catalog import CatalogChange
from registry.agent.state.events import Event, is_meant_for
from registry.agent.state.records import Check, Node, Service, Status
from registry.agent.state.store import OWN_CHECK_ID, OWN_SERVICE_ID, StateStore, check_of_service
from registry.runtime.tasks.supervise import cancel_all, start_supervised

logger = logging.getLogger(__name__)

NODE_MAINTENANCE_ID = "_node_maintenance"
"""The check by which Consul says that a whole node is in maintenance."""

_SERVICE_MAINTENANCE = "_service_maintenance:"
_MAINTENANCE_KIND = "maintenance"
# Consul looks for services to be removed every 30 s, and ends sessions when their time is over.
_SWEEP_INTERVAL_S = 1.0
# Consul's anti-entropy interval.
_SYNC_INTERVAL_S = 60.0


class Agent:
    """One machine's agent. Use as an async context manager; leaving it stops every check.

    `check_tls` is what checks verify the certificates of servers with; True: the system's authorities.
    """

    def __init__(self, *, node: Node, port: int, version: str, check_tls: ssl.SSLContext | bool = True) -> None:
        self.node = node
        self.port = port
        self.version = version
        self.state = StateStore(node=node, port=port, version=version)
        self._services: dict[str, Service] = {}
        self._checks: dict[str, Check] = {}
        self._check_ids: dict[str, set[str]] = {}
        self._runner = CheckRunner(self._report, tls=check_tls)
        self._critical_since_s: dict[str, float] = {}
        self._reap_after_s: dict[str, float] = {}

    async def __aenter__(self) -> Agent:
        await self._runner.__aenter__()
        self._periodic_work = start_supervised("periodic work of the agent", self._work_periodically)
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_all(self._periodic_work)
        await self._runner.__aexit__()

    @property
    def services(self) -> Mapping[str, Service]:
        """What was registered with this agent, by id and in order of it."""
        return dict(sorted(self._services.items()))

    def service(self, service_id: str) -> Service | None:
        """A service that was registered with this agent, or None."""
        return self._services.get(service_id)

    @property
    def checks(self) -> Mapping[str, Check]:
        """The checks registered with this agent, by id and in order of it."""
        return dict(sorted(self._checks.items()))

    def checks_of(self, service_id: str) -> list[Check]:
        """The checks of one service that was registered with this agent, by id; with an empty id, the node's."""
        return [self._checks[check_id] for check_id in sorted(self._check_ids.get(service_id, ()))]

    def register(self, definition: ServiceDefinition, *, replace_checks: bool = False) -> None:
        """Register or change a service. Checks that it had and does not name stay, unless `replace_checks`.

        A check that was already there keeps its status, whatever the definition says. Replacing removes
        maintenance mode too: it is a check.
        """
        service = replace(definition.service, node=self.node.name)
        if service.id == OWN_SERVICE_ID:
            raise BadRequest(f'The ID "{OWN_SERVICE_ID}" is the agent\'s own: choose another.')
        _refuse_own(definition.checks)
        named = {check.id for check in definition.checks}
        others = [c for c in self.checks_of(service.id) if c.id not in named]
        kept = [] if replace_checks else [replace(c, service_name=service.name) for c in others]
        removed = [c.id for c in others] if replace_checks else []
        checks = [self._check(definition, service) for definition in definition.checks]
        self._change(services=[service], checks=[*checks, *kept], removed_checks=removed)
        self._stop(removed)
        self._start(definition.checks)

    def deregister(self, service_id: str) -> None:
        """Remove a service and its checks; an unknown id is no error in Consul 1.8."""
        if service_id == OWN_SERVICE_ID:
            return
        removed = [check.id for check in self.checks_of(service_id)] if service_id else []
        self._change(removed_services=[service_id], removed_checks=removed)
        self._stop(removed)

    def register_check(self, definition: CheckDefinition) -> None:
        """Register or change one check, of a service or of the node; a status it already has is kept."""
        service = self.service(definition.service_id)
        if definition.service_id and service is None:
            raise ApiError(500, f'ServiceID "{definition.service_id}" does not exist')
        _refuse_own([definition])
        self._change(checks=[self._check(definition, service)])
        self._start([definition])

    def deregister_check(self, check_id: str) -> None:
        """Remove one check; an unknown id is no error in Consul 1.8."""
        if check_id != OWN_CHECK_ID:
            self._change(removed_checks=[check_id])
            self._stop([check_id])

    def heartbeat(self, check_id: str, status: Status, note: str) -> None:
        """A heartbeat for a TTL check. Raises ApiError, 500 as in Consul 1.8, where there is none."""
        if not self._runner.heartbeat(check_id, status, note):
            raise ApiError(500, f'CheckID "{check_id}" does not have associated TTL')

    def maintain(self, service: Service | None, *, enable: bool, reason: str = "") -> None:
        """Put a service (None: the node) into maintenance, or take it out; the first reason stays."""
        check_id = _SERVICE_MAINTENANCE + service.id if service else NODE_MAINTENANCE_ID
        if not enable:
            self._change(removed_checks=[check_id])
        elif check_id not in self._checks:
            what = "service" if service else "node"
            default = f"Maintenance mode is enabled for this {what}, but no reason was provided. "
            check = Check(
                id=check_id,
                name=f"{what.capitalize()} Maintenance Mode",
                node=self.node.name,
                kind=_MAINTENANCE_KIND,
                notes=reason or default + "This is a default message.",
            )
            self._change(checks=[check_of_service(check, service) if service else check])

    def fire(self, event: Event) -> None:
        """Fire an event; it is kept if its filters match this node."""
        if is_meant_for(event, node=self.node.name, services=self._services.values()):
            self.state.events.fire(event)

    def reap(self, now_s: float) -> None:
        """Deregister the services that have been critical for too long; `now_s` is the event loop's clock."""
        late = overdue(now_s=now_s, critical_since_s=self._critical_since_s, reap_after_s=self._reap_after_s)
        for service_id in {self._checks[i].service_id for i in late} - {""}:
            logger.warning("Service %s was critical for too long: deregistered.", service_id)
            self.deregister(service_id)

    def synchronize(self) -> None:
        """Make the catalogue agree with this agent about its own node."""
        catalog, name = self.state.catalog, self.node.name
        services = {(name, OWN_SERVICE_ID): self.state.own_service}
        services |= {(name, service_id): service for service_id, service in self._services.items()}
        checks = {(name, OWN_CHECK_ID): self.state.own_check}
        checks |= {(name, check_id): check for check_id, check in self._checks.items()}
        self.state.commit(
            CatalogChange(
                nodes=[self.node],
                services=list(services.values()),
                checks=list(checks.values()),
                removed_services=[key for key in catalog.services if key[0] == name and key not in services],
                removed_checks=[key for key in catalog.checks if key[0] == name and key not in checks],
            )
        )

    async def _work_periodically(self) -> None:
        clock = asyncio.get_running_loop().time
        synchronized_s = clock()
        while True:
            await asyncio.sleep(_SWEEP_INTERVAL_S)
            self.reap(clock())
            for session_id in self.state.sessions.expired():
                logger.info("Session %s was not renewed in time: ended.", session_id)
                self.state.end_session(session_id)
            if clock() - synchronized_s >= _SYNC_INTERVAL_S:
                self.synchronize()
                synchronized_s = clock()

    def _change(
        self,
        *,
        services: Iterable[Service] = (),
        checks: Iterable[Check] = (),
        removed_services: Collection[str] = (),
        removed_checks: Collection[str] = (),
    ) -> None:
        """Change what this agent has registered, and the catalogue with it."""
        for service_id in removed_services:
            self._services.pop(service_id, None)
        for check_id in removed_checks:
            self._forget_check(check_id)
        new_services = {service.id: service for service in services}
        new_checks = {check.id: check for check in checks}
        self._services |= new_services
        for check in new_checks.values():
            self._keep_check(check)
        self.state.commit(
            CatalogChange(
                nodes=[] if self.node.name in self.state.catalog.nodes else [self.node],
                services=[*new_services.values(), *self._missing_services(new_checks.values())],
                checks=list(new_checks.values()),
                removed_services=[(self.node.name, service_id) for service_id in removed_services],
                removed_checks=[(self.node.name, check_id) for check_id in removed_checks],
            )
        )

    def _missing_services(self, checks: Iterable[Check]) -> list[Service]:
        """The services of these checks that another client has removed from the catalogue."""
        known = self.state.catalog.services
        missing = {c.service_id for c in checks if c.service_id and (self.node.name, c.service_id) not in known}
        return [self._services[service_id] for service_id in missing & self._services.keys()]

    def _keep_check(self, check: Check) -> None:
        old = self._checks.get(check.id)
        if old is not None and old.service_id != check.service_id:
            self._forget_check(check.id)
        self._checks[check.id] = check
        self._check_ids.setdefault(check.service_id, set()).add(check.id)

    def _forget_check(self, check_id: str) -> None:
        check = self._checks.pop(check_id, None)
        if check is not None:
            self._check_ids[check.service_id].discard(check_id)
            if not self._check_ids[check.service_id]:
                del self._check_ids[check.service_id]

    def _check(self, definition: CheckDefinition, service: Service | None) -> Check:
        """The record for a definition, with the status and output of the check it takes the place of."""
        old = self._checks.get(definition.id)
        check = Check(
            id=definition.id,
            name=definition.name,
            node=self.node.name,
            status=old.status if old else definition.status,
            kind=definition.run.kind,
            notes=definition.notes,
            output=old.output if old else "",
        )
        return check_of_service(check, service) if service else check

    def _start(self, definitions: Iterable[CheckDefinition]) -> None:
        for definition in definitions:
            self._forget(definition.id)
            if definition.reap_after_s is not None:
                self._reap_after_s[definition.id] = definition.reap_after_s
            self._note_status(definition.id, self._checks[definition.id].status)
            self._runner.start(definition.id, definition.run)

    def _stop(self, check_ids: Iterable[str]) -> None:
        for check_id in check_ids:
            self._forget(check_id)
            self._runner.stop(check_id)

    def _forget(self, check_id: str) -> None:
        self._critical_since_s.pop(check_id, None)
        self._reap_after_s.pop(check_id, None)

    def _report(self, check_id: str, status: Status, output: str) -> None:
        self._note_status(check_id, status)
        self._change(checks=[replace(self._checks[check_id], status=status, output=output)])

    def _note_status(self, check_id: str, status: str) -> None:
        if status == Status.CRITICAL:
            self._critical_since_s.setdefault(check_id, asyncio.get_running_loop().time())
        else:
            self._critical_since_s.pop(check_id, None)


def _refuse_own(definitions: Iterable[CheckDefinition]) -> None:
    if any(definition.id == OWN_CHECK_ID for definition in definitions):
        raise BadRequest(f'The check ID "{OWN_CHECK_ID}" is the agent\'s own: choose another.')
