"""The agent itself: registrations and heartbeats come in, the catalogue and the running checks follow.

All verbs return at once; what runs in the background (checks, the reaper) ends with the context.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

from registry.agent.checks.definitions import CheckDefinition, ServiceDefinition
from registry.agent.checks.runner import Runs, overdue
from registry.agent.errors import BadRequest, Refusal
from registry.agent.state.catalog import OWN_CHECK_ID, OWN_SERVICE_ID, Store
from registry.agent.state.kv import KeyValues
from registry.agent.state.records import Check, Node, Service, Status

logger = logging.getLogger(__name__)

NODE_MAINTENANCE_ID = "_node_maintenance"
"""The check by which Consul says that a whole node is in maintenance."""

_SERVICE_MAINTENANCE = "_service_maintenance:"
_MAINTENANCE_KIND = "maintenance"
# Consul looks every 30 s; there is no reason to be later than need be.
_REAP_INTERVAL_S = 5.0


class Agent:
    """One machine's agent. Use as an async context manager; leaving it stops every check."""

    def __init__(self, *, node: Node, port: int, version: str) -> None:
        self.store = Store(node=node, port=port, version=version)
        self.keys = KeyValues(self.store.changes)
        self.version = version
        self.port = port
        self._runs = Runs(self._report)
        self._critical_since_s: dict[str, float] = {}
        self._reap_after_s: dict[str, float] = {}

    async def __aenter__(self) -> Agent:
        await self._runs.__aenter__()
        self._reaper = asyncio.create_task(self._reap_forever(), name="reaper")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reaper.cancel()
        await asyncio.gather(self._reaper, return_exceptions=True)
        await self._runs.__aexit__()

    @property
    def services(self) -> dict[str, Service]:
        """What was registered here, by id and in order of it: without the agent's own entry."""
        return {i: s for i, s in sorted(self.store.services.items()) if i != OWN_SERVICE_ID}

    def service(self, service_id: str) -> Service | None:
        """A service that was registered here, or None."""
        return None if service_id == OWN_SERVICE_ID else self.store.services.get(service_id)

    @property
    def checks(self) -> dict[str, Check]:
        """The checks registered here, by id and in order of it: without the agent's own."""
        return {i: c for i, c in sorted(self.store.checks.items()) if i != OWN_CHECK_ID}

    def register(self, definition: ServiceDefinition, *, replace_checks: bool = False) -> None:
        """Register or change a service. Checks that it had and does not name stay, unless `replace_checks`.

        A check that was already there keeps its status, whatever the definition says. Replacing removes
        maintenance mode too: it is a check.
        """
        service = definition.service
        if service.id == OWN_SERVICE_ID:
            raise BadRequest(f'The ID "{OWN_SERVICE_ID}" is the agent\'s own: choose another.')
        _refuse_own(definition.checks)
        named = {check.id for check in definition.checks}
        others = [c for c in self.store.checks_of(service.id) if c.id not in named]
        kept = [] if replace_checks else [replace(c, service_name=service.name) for c in others]
        gone = [c.id for c in others] if replace_checks else []
        checks = [self._check(definition, service) for definition in definition.checks]
        self.store.commit(services=[service], checks=[*checks, *kept], gone_checks=gone)
        self._stop(gone)
        self._start(definition.checks)

    def deregister(self, service_id: str) -> None:
        """Remove a service and its checks; an unknown id is no error in Consul 1.8."""
        if service_id == OWN_SERVICE_ID:
            return
        gone = [check.id for check in self.store.checks_of(service_id)] if service_id else []
        self.store.commit(gone_services=[service_id], gone_checks=gone)
        self._stop(gone)

    def register_check(self, definition: CheckDefinition) -> None:
        """Register or change one check, of a service or of the node; a status it already has is kept."""
        service = self.service(definition.service_id)
        if definition.service_id and service is None:
            raise Refusal(500, f'ServiceID "{definition.service_id}" does not exist')
        _refuse_own([definition])
        self.store.commit(checks=[self._check(definition, service)])
        self._start([definition])

    def deregister_check(self, check_id: str) -> None:
        """Remove one check; an unknown id is no error in Consul 1.8."""
        if check_id != OWN_CHECK_ID:
            self.store.commit(gone_checks=[check_id])
            self._stop([check_id])

    def beat(self, check_id: str, status: Status, note: str) -> None:
        """A heartbeat for a TTL check. Raises Refusal, 500 as in Consul 1.8, where there is none."""
        if not self._runs.beat(check_id, status, note):
            raise Refusal(500, f'CheckID "{check_id}" does not have associated TTL')

    def maintain(self, service: Service | None, *, enable: bool, reason: str = "") -> None:
        """Put a service (None: the node) into maintenance, or take it out; the first reason stands."""
        check_id = _SERVICE_MAINTENANCE + service.id if service else NODE_MAINTENANCE_ID
        if not enable:
            self.store.commit(gone_checks=[check_id])
        elif check_id not in self.store.checks:
            what = "service" if service else "node"
            default = f"Maintenance mode is enabled for this {what}, but no reason was provided. "
            check = Check(
                id=check_id,
                name=f"{what.capitalize()} Maintenance Mode",
                kind=_MAINTENANCE_KIND,
                notes=reason or default + "This is a default message.",
            )
            self.store.commit(checks=[_owned(check, service)])

    def reap(self, now_s: float) -> None:
        """Deregister the services that have been critical for too long; `now_s` is the event loop's clock."""
        late = overdue(now_s=now_s, critical_since_s=self._critical_since_s, reap_after_s=self._reap_after_s)
        for service_id in {self.store.checks[i].service_id for i in late} - {""}:
            logger.warning("Service %s was critical for too long: deregistered.", service_id)
            self.deregister(service_id)

    async def _reap_forever(self) -> None:
        while True:
            await asyncio.sleep(_REAP_INTERVAL_S)
            self.reap(asyncio.get_running_loop().time())

    def _check(self, definition: CheckDefinition, service: Service | None) -> Check:
        """The record for a definition, with the status and output of the check it takes the place of."""
        old = self.store.checks.get(definition.id)
        check = Check(
            id=definition.id,
            name=definition.name,
            status=old.status if old else definition.status,
            kind=definition.run.kind,
            notes=definition.notes,
            output=old.output if old else "",
        )
        return _owned(check, service)

    def _start(self, definitions: Iterable[CheckDefinition]) -> None:
        for definition in definitions:
            self._forget(definition.id)
            if definition.reap_after_s is not None:
                self._reap_after_s[definition.id] = definition.reap_after_s
            self._note_status(definition.id, self.store.checks[definition.id].status)
            self._runs.start(definition.id, definition.run)

    def _stop(self, check_ids: Iterable[str]) -> None:
        for check_id in check_ids:
            self._forget(check_id)
            self._runs.stop(check_id)

    def _forget(self, check_id: str) -> None:
        self._critical_since_s.pop(check_id, None)
        self._reap_after_s.pop(check_id, None)

    def _report(self, check_id: str, status: Status, output: str) -> None:
        self._note_status(check_id, status)
        self.store.commit(checks=[replace(self.store.checks[check_id], status=status, output=output)])

    def _note_status(self, check_id: str, status: Status) -> None:
        if status is Status.CRITICAL:
            self._critical_since_s.setdefault(check_id, asyncio.get_running_loop().time())
        else:
            self._critical_since_s.pop(check_id, None)


def _owned(check: Check, service: Service | None) -> Check:
    if service is None:
        return check
    return replace(check, service_id=service.id, service_name=service.name, service_tags=service.tags)


def _refuse_own(definitions: Iterable[CheckDefinition]) -> None:
    if any(definition.id == OWN_CHECK_ID for definition in definitions):
        raise BadRequest(f'The check ID "{OWN_CHECK_ID}" is the agent\'s own: choose another.')
