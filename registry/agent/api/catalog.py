"""/v1/catalog: nodes and services as Consul's servers show them, and registrations that concern no agent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from registry.agent.api.blocking.blocking_query import BlockingReads, ReadResult, refuse_other_datacenter
from registry.agent.api.formats.catalog_body import deregistration, registration
from registry.agent.api.formats.filter_fields import NODE, NODE_SERVICE, SERVICE_NODE
from registry.agent.api.formats.json_body import decode_object
from registry.agent.api.formats.json_views import Json, catalog_service, health_service, node_entry
from registry.agent.api.formats.message import Request, Response, json_response
from registry.agent.api.selection import chosen_instances, filter_of, has_node_meta, name_in, nearest_first
from registry.agent.errors import ApiError
from registry.agent.state.catalog import NODE_SERVICES, NODES, SERVICES, CatalogChange, service_topic
from registry.agent.state.store import StateStore


class CatalogApi:
    """The handlers; each takes a Request and returns a Response, or raises ApiError."""

    def __init__(self, state: StateStore, reads: BlockingReads) -> None:
        self._state = state
        self._catalog = state.catalog
        self._reads = reads

    async def register(self, request: Request) -> Response:
        """PUT register: a node, and a service and checks of it."""
        body = registration(decode_object(request.body), default_datacenter=self._state.node.datacenter)
        refuse_other_datacenter(body.node.datacenter, self._state.node)
        known = self._catalog.nodes.get(body.node.name)
        with self._state.transaction():
            if not (known and body.skip_node_update):
                with _naming("failed inserting node: {}"):
                    self._state.ensure_node(body.node)
            if body.service:
                with _naming("failed inserting service: {}"):
                    self._state.ensure_service(body.service)
            for check in body.checks:
                with _naming(f'failed inserting check: {{}} on node "{check.node}"'):
                    self._state.ensure_check(check)
        return json_response(True, request)

    async def deregister(self, request: Request) -> Response:
        """PUT deregister: a service, a check, or a node with all that is on it."""
        body = deregistration(decode_object(request.body))
        refuse_other_datacenter(body.datacenter, self._state.node)
        if body.service_id:
            change = CatalogChange(removed_services=[(body.node, body.service_id)])
        elif body.check_id:
            change = CatalogChange(removed_checks=[(body.node, body.check_id)])
        else:
            change = CatalogChange(removed_nodes=[body.node])
        self._state.commit(change)
        return json_response(True, request)

    async def datacenters(self, request: Request) -> Response:
        """GET datacenters: this agent's own."""
        return json_response([self._state.node.datacenter], request)

    async def nodes(self, request: Request) -> Response:
        """GET nodes: all nodes, by name."""
        wanted = filter_of(request, NODE)

        def read() -> ReadResult:
            nodes = [node for _, node in sorted(self._catalog.nodes.items()) if has_node_meta(request, node)]
            entries = map(node_entry, nearest_first(request, self._state, nodes))
            return ReadResult(self._state.changes.at(NODES), NODES, [entry for entry in entries if wanted(entry)])

        return await self._reads.respond(request, read)

    async def services(self, request: Request) -> Response:
        """GET services: the names of services and the tags in use. As in Consul 1.8, ?filter= is not looked at."""

        def read() -> ReadResult:
            tags: dict[str, set[str]] = {}
            for service in self._catalog.services.values():
                if has_node_meta(request, self._catalog.nodes[service.node]):
                    tags.setdefault(service.name, set()).update(service.tags)
            value = {name: sorted(tags[name]) for name in sorted(tags)}
            return ReadResult(self._state.changes.at(SERVICES), SERVICES, value)

        return await self._reads.respond(request, read)

    async def service(self, request: Request) -> Response:
        """GET service/NAME: instances with their node; ?tag= (repeatable) and ?filter= narrow it."""
        name, wanted = name_in(request, "service name"), filter_of(request, SERVICE_NODE)

        def read() -> ReadResult:
            instances = nearest_first(request, self._state, chosen_instances(request, self._catalog, name))
            entries = (catalog_service(self._catalog.nodes[service.node], service) for service in instances)
            index = self._catalog.service_index(name, with_checks=False)
            return ReadResult(index, service_topic(name), [entry for entry in entries if wanted(entry)])

        return await self._reads.respond(request, read)

    async def connect(self, request: Request) -> Response:
        """GET connect/NAME: without a service mesh, none."""
        name_in(request, "service name")
        filter_of(request, SERVICE_NODE)
        return await self._reads.respond(
            request, lambda: ReadResult(self._catalog.index(with_checks=False), SERVICES, [])
        )

    async def gateway_services(self, request: Request) -> Response:
        """GET gateway-services/NAME: without gateways, null."""
        name_in(request, "gateway name")
        return await self._reads.respond(request, lambda: ReadResult(1, SERVICES, None))

    async def node(self, request: Request) -> Response:
        """GET node/NAME: the node and its services by id; null for an unknown node."""
        return await self._services_of_node(request, listed=False)

    async def node_services(self, request: Request) -> Response:
        """GET node-services/NAME: the node and a list of its services."""
        return await self._services_of_node(request, listed=True)

    async def _services_of_node(self, request: Request, *, listed: bool) -> Response:
        name, wanted = name_in(request, "node name"), filter_of(request, NODE_SERVICE)

        def read() -> ReadResult:
            node = self._catalog.find_node(name)
            if node is None:
                return ReadResult(1, NODE_SERVICES, None)
            entries = (health_service(service) for service in self._catalog.services_on(node.name))
            services: list[Json] = [entry for entry in entries if wanted(entry)]
            value = {"Node": node_entry(node), "Services": services if listed else {s["ID"]: s for s in services}}
            return ReadResult(self._catalog.index(with_checks=False), NODE_SERVICES, value)

        return await self._reads.respond(request, read)


@contextmanager
def _naming(sentence: str) -> Iterator[None]:
    """Say in which part of a registration a refusal came up."""
    try:
        yield
    except ApiError as error:
        raise ApiError(error.status, sentence.replace("{}", str(error))) from error
