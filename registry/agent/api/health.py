"""/v1/health: services with their checks, and checks by service, node and state."""

from __future__ import annotations

from collections.abc import Callable

from registry.agent.api.blocking.blocking_query import BlockingReads, ReadResult
from registry.agent.api.formats.filter_fields import CHECK_SERVICE_NODE, HEALTH_CHECK
from registry.agent.api.formats.json_views import Json, catalog_check, health_service, node_entry
from registry.agent.api.formats.message import Request, Response, flag
from registry.agent.api.selection import chosen_instances, filter_of, has_node_meta, name_in, nearest_first
from registry.agent.state.catalog import CHECKS, SERVICES, service_topic
from registry.agent.state.index import Topic
from registry.agent.state.records import Check, Status
from registry.agent.state.store import StateStore


class HealthApi:
    """The handlers; each takes a Request and returns a Response, or raises ApiError."""

    def __init__(self, state: StateStore, reads: BlockingReads) -> None:
        self._state = state
        self._catalog = state.catalog
        self._reads = reads

    async def service(self, request: Request) -> Response:
        """GET service/NAME: instances with node and checks; ?passing, ?tag= (repeatable) and ?filter= narrow it."""
        name, passing = name_in(request, "service name"), flag(request.query, "passing")
        wanted = filter_of(request, CHECK_SERVICE_NODE)

        def read() -> ReadResult:
            services = nearest_first(request, self._state, chosen_instances(request, self._catalog, name))
            nodes = {node: self._node_part(node) for node in {service.node for service in services}}
            entries = []
            for service in services:
                node, node_checks = nodes[service.node]
                checks = [*node_checks, *self._catalog.checks_of(service.node, service.id)]
                if not passing or all(check.status == Status.PASSING for check in checks):
                    views = [catalog_check(check) for check in checks]
                    entries.append({"Node": node, "Service": health_service(service), "Checks": views})
            index = self._catalog.service_index(name, with_checks=True)
            return ReadResult(index, service_topic(name), [entry for entry in entries if wanted(entry)])

        return await self._reads.respond(request, read)

    def _node_part(self, name: str) -> tuple[Json, list[Check]]:
        """A node as JSON, and its own checks: what all services on it have in common."""
        return node_entry(self._catalog.nodes[name]), self._catalog.checks_of(name, "")

    async def connect(self, request: Request) -> Response:
        """GET connect/NAME: without a service mesh, none."""
        return await self._no_instances(request, index=self._catalog.index(with_checks=True))

    async def ingress(self, request: Request) -> Response:
        """GET ingress/NAME: without gateways, none."""
        return await self._no_instances(request, index=1)

    async def _no_instances(self, request: Request, *, index: int) -> Response:
        name_in(request, "service name")
        flag(request.query, "passing")
        filter_of(request, CHECK_SERVICE_NODE)
        return await self._reads.respond(request, lambda: ReadResult(index, SERVICES, []))

    async def checks(self, request: Request) -> Response:
        """GET checks/NAME: the checks of all instances of a service."""
        name = name_in(request, "service name")
        return await self._checks(request, service_topic(name), lambda check: check.service_name == name)

    async def node(self, request: Request) -> Response:
        """GET node/NAME: every check on the node."""
        node = self._catalog.find_node(name_in(request, "node name"))
        name = node.name if node else request.rest
        return await self._checks(request, CHECKS, lambda check: check.node == name)

    async def state(self, request: Request) -> Response:
        """GET state/any|passing|warning|critical: every check in that state."""
        state = name_in(request, "check state")
        return await self._checks(request, CHECKS, lambda check: state in ("any", check.status))

    async def _checks(self, request: Request, topic: Topic, selected: Callable[[Check], bool]) -> Response:
        wanted = filter_of(request, HEALTH_CHECK)

        def read() -> ReadResult:
            chosen = [
                check
                for _, check in sorted(self._catalog.checks.items())
                if selected(check) and has_node_meta(request, self._catalog.nodes[check.node])
            ]
            entries = map(catalog_check, nearest_first(request, self._state, chosen))
            return ReadResult(self._state.changes.at(CHECKS), topic, [entry for entry in entries if wanted(entry)])

        return await self._reads.respond(request, read)
