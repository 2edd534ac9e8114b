"""/v1/catalog, /v1/health and /v1/status: the catalogue as Consul's servers would show it. Reads only."""

from __future__ import annotations

from collections.abc import Callable

from registry.agent.agent import Agent
from registry.agent.api.blocking_query import Reading, Reads
from registry.agent.api.json_views import Json, catalog_check, catalog_service, health_service, node_entry
from registry.agent.api.message import Answer, Call, flag, json_answer
from registry.agent.errors import BadRequest
from registry.agent.state.catalog import CHECKS, NODES, SERVICES, service_topic
from registry.agent.state.index import Topic
from registry.agent.state.records import Check, Service, Status


class CatalogApi:
    """The handlers; each takes a Call and gives an Answer, or raises Refusal."""

    def __init__(self, agent: Agent, reads: Reads) -> None:
        self._agent = agent
        self._store = agent.store
        self._node = agent.store.node
        self._at = agent.store.changes.at
        self._reads = reads

    async def health_service(self, call: Call) -> Answer:
        """GET health/service/NAME: instances with node and checks; ?passing and ?tag= (repeatable) narrow it."""
        name, passing = _named(call, "service name"), flag(call.query, "passing")

        def read() -> Reading:
            node_checks = self._store.checks_of("")
            entries = []
            for service in self._chosen(call):
                checks = [*node_checks, *self._store.checks_of(service.id)]
                if not passing or all(check.status is Status.PASSING for check in checks):
                    entries.append(
                        {
                            "Node": self._entry(),
                            "Service": health_service(service),
                            "Checks": [catalog_check(self._node, check) for check in checks],
                        }
                    )
            return Reading(self._store.service_index(name, with_checks=True), service_topic(name), entries)

        return await self._reads.answer(call, read, asked=("health", name, passing, *_narrowed(call)))

    async def catalog_service(self, call: Call) -> Answer:
        """GET catalog/service/NAME: instances with their node."""
        name = _named(call, "service name")

        def read() -> Reading:
            entries = [catalog_service(self._node, service) for service in self._chosen(call)]
            return Reading(self._store.service_index(name, with_checks=False), service_topic(name), entries)

        return await self._reads.answer(call, read, asked=("catalog", name, *_narrowed(call)))

    async def catalog_services(self, call: Call) -> Answer:
        """GET catalog/services: names and the tags in use."""

        def read() -> Reading:
            tags: dict[str, set[str]] = {}
            for service in self._store.services.values() if self._is_meant(call) else ():
                tags.setdefault(service.name, set()).update(service.tags)
            return Reading(self._at(SERVICES), SERVICES, {name: sorted(tags[name]) for name in sorted(tags)})

        return await self._reads.answer(call, read, asked=("services", *_narrowed(call)))

    async def catalog_nodes(self, call: Call) -> Answer:
        """GET catalog/nodes: this node, alone."""

        def read() -> Reading:
            return Reading(self._at(NODES), NODES, [self._entry()] if self._is_meant(call) else [])

        return await self._reads.answer(call, read, asked=("nodes", *_narrowed(call)))

    async def catalog_node(self, call: Call) -> Answer:
        """GET catalog/node/NAME: the node and its services by id; null for another node."""
        return await self._services_of_node(call, listed=False)

    async def catalog_node_services(self, call: Call) -> Answer:
        """GET catalog/node-services/NAME: the node and a list of its services."""
        return await self._services_of_node(call, listed=True)

    async def _services_of_node(self, call: Call, *, listed: bool) -> Answer:
        name = _named(call, "node name")

        def read() -> Reading:
            if name not in (self._node.name, self._node.id):
                return Reading(1, SERVICES, None)
            services = [health_service(s) for _, s in sorted(self._store.services.items())]
            value = {"Node": self._entry(), "Services": services if listed else {s["ID"]: s for s in services}}
            return Reading(self._store.catalog_index(with_checks=False), SERVICES, value)

        return await self._reads.answer(call, read, asked=("node", name, listed))

    async def datacenters(self, call: Call) -> Answer:
        """GET catalog/datacenters: the one there is."""
        return json_answer([self._node.datacenter], call)

    async def health_checks(self, call: Call) -> Answer:
        """GET health/checks/NAME: the checks of all instances of a service."""
        name = _named(call, "service name")
        return await self._checks(call, service_topic(name), lambda check: check.service_name == name)

    async def health_node(self, call: Call) -> Answer:
        """GET health/node/NAME: every check there is on the node."""
        here = _named(call, "node name") in (self._node.name, self._node.id)
        return await self._checks(call, CHECKS, lambda check: here)

    async def health_state(self, call: Call) -> Answer:
        """GET health/state/any|passing|warning|critical: every check in that state."""
        state = _named(call, "check state")
        return await self._checks(call, CHECKS, lambda check: state in ("any", check.status))

    async def _checks(self, call: Call, topic: Topic, wanted: Callable[[Check], bool]) -> Answer:
        def read() -> Reading:
            checks = self._store.checks.values() if self._is_meant(call) else ()
            chosen = sorted((c for c in checks if wanted(c)), key=lambda c: c.id)
            return Reading(self._at(CHECKS), topic, [catalog_check(self._node, check) for check in chosen])

        return await self._reads.answer(call, read, asked=(call.path, call.rest, *_narrowed(call)))

    async def leader(self, call: Call) -> Answer:
        """GET status/leader: this agent's address."""
        return json_answer(self._address(), call)

    async def peers(self, call: Call) -> Answer:
        """GET status/peers: this agent's address, alone."""
        return json_answer([self._address()], call)

    def _address(self) -> str:
        host = f"[{self._node.address}]" if ":" in self._node.address else self._node.address
        return f"{host}:{self._agent.port}"

    def _entry(self) -> Json:
        return node_entry(self._node, self._store.node_index)

    def _chosen(self, call: Call) -> list[Service]:
        """The instances of the service that `rest` names which have all tags of the query, whatever their case."""
        wanted = {tag.lower() for tag in call.query.texts("tag")}
        instances = self._store.instances(call.rest) if self._is_meant(call) else []
        return [s for s in instances if wanted <= {tag.lower() for tag in s.tags}]

    def _is_meant(self, call: Call) -> bool:
        """Whether the node has all the metadata that the query asks for (?node-meta=key:value)."""
        pairs = (text.partition(":") for text in call.query.texts("node-meta"))
        return all(self._node.meta.get(key) == value for key, _, value in pairs)


def _named(call: Call, what: str) -> str:
    if not call.rest:
        raise BadRequest(f"Missing {what}")
    return call.rest


def _narrowed(call: Call) -> tuple[object, ...]:
    """What in the query changes an answer, as part of what tells one question from another."""
    return tuple(call.query.texts("tag")), tuple(call.query.texts("node-meta"))
