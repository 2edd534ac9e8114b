"""The lookup service's HTTP routes: each reads a request, asks the directory and writes an answer.

The handlers translate and decide nothing. Every refusal is one sentence that says what to do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from registry.discovery.directory import Directory
from registry.discovery.nearness import UnknownNode
from registry.discovery.other_datacenters import OtherDatacenters
from registry.discovery.rotations.selector import Selector
from registry.discovery.service import Service, first_change
from registry.discovery.snapshot import Snapshot
from registry.events.event_log import EventLog
from registry.instances.instance import Instance
from registry.lookup.connection import local_address
from registry.lookup.fast_path import FastPath
from registry.lookup.host_match import reachable_hosts
from registry.lookup.operators.metrics import LookupMetrics
from registry.lookup.operators.routes import OPERATOR_PATHS, add_operator_routes
from registry.lookup.query_parameters import address_form, count_of, selector_of, wait_of, whole_number
from registry.lookup.reachability import Reachability
from registry.lookup.redirect import add_redirects
from registry.lookup.rendering import Form, as_json, render_many, render_one, rollout_fields
from registry.lookup.service_finder import Found, ServiceFinder
from registry.lookup.service_resolution import not_answered_yet, service_named, snapshot_headers
from registry.lookup.tickets import LookupTickets, add_tickets
from registry.lookup.waiting_requests import WAITING_AT_MOST, WaitingRequests
from registry.runtime.errors import RegistryError
from registry.runtime.pages.page_files import sends_browsers_to_page
from registry.runtime.tls.server import ServerTls
from registry.security.access import AccessDenied, may_use
from registry.security.access_control import AccessControl
from registry.security.caller import Role
from registry.security.quota import OverQuota
from registry.ui.routes import UI_PATHS, add_ui_routes
from registry.web.access_middleware import OPEN, answer_pages, caller_of, checks_access
from registry.web.refusal import Refusal, refused
from registry.web.request_ids import WORKER, adds_request_ids, logs_access
from registry.worker_figures.collector import FiguresCollector


def build_app(
    directory: Directory,
    fast: FastPath,
    tickets: LookupTickets | None = None,
    access: AccessControl | None = None,
    tls: ServerTls | None = None,
    others: OtherDatacenters | None = None,
    events: EventLog | None = None,
    figures: FiguresCollector | None = None,
    *,
    waiting_at_most: int = WAITING_AT_MOST,
    ui: bool = True,
) -> web.Application:
    """The application that answers from `directory`, behind `fast`; so many requests may wait for a change.

    `tickets` (default: none) go with the addresses of workers that want them; `access` (default: all) says who may ask;
    of `tls` the metrics say when its certificate ends; `ui` says whether there is a web page;
    `others` are asked where `?dc=` names one, or for failover; `events` is what /events tells (default: nothing);
    `figures` are the workers' rates and times (default: none).
    """
    tickets, access = tickets or LookupTickets(), access or AccessControl()
    metrics = LookupMetrics(directory, fast, tickets, tls)
    open_paths = OPEN | UI_PATHS if ui else OPEN
    checks = checks_access(access, open_paths=open_paths, roles=dict.fromkeys(OPERATOR_PATHS, Role.OPERATOR))
    page = [sends_browsers_to_page] if ui else []
    app = web.Application(middlewares=[refusals_as_text(metrics), *page, checks])
    app.on_response_prepare.append(adds_request_ids(fast.request_ids))
    if fast.access_log is not None:
        app.middlewares.insert(0, logs_access(fast.access_log, fast.request_ids))
    if fast.tracing is not None:
        from registry.web.traced_requests import traces_requests  # which imports OpenTelemetry

        app.middlewares.insert(0, traces_requests(fast.tracing))
    answer_pages(app, access)
    finder = ServiceFinder(directory, others)
    waiting = WaitingRequests(at_most=waiting_at_most)
    lookup = Lookup(directory, finder, tickets, access, waiting)
    app.add_routes(
        [
            web.get("/", lookup.port),
            web.get("/next", lookup.next),
            web.get("/next/{service}", lookup.next),
            web.get("/instances/{service}", lookup.instances),
            web.get("/services", lookup.services),
            web.get("/healthz", _alive),
            web.get("/readyz", lookup.ready),
        ]
    )
    add_redirects(app, directory.default, finder, tickets)
    add_tickets(app, directory, tickets)
    add_operator_routes(app, directory, metrics, events or EventLog(), waiting, figures)
    if ui:
        add_ui_routes(app)
    return app


def refusals_as_text(metrics: LookupMetrics) -> Middleware:
    """Middleware: every refusal, ours and the framework's, becomes one sentence of plain text."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = refused(refusal)
        except (AccessDenied, OverQuota) as refusal:
            response = refused(refusal)
            if "Expect" in request.headers:
                response.force_close()  # the client may send its body now or not
        except web.HTTPNotFound:
            response = refused(Refusal(404, f"There is nothing at {request.path}: try /next or /services."))
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            response = refused(Refusal(405, f"{request.method} is not answered here: use {allowed}."))
            response.headers["Allow"] = allowed
        metrics.answered(response.status)
        return response

    return answer


class Lookup:
    """The handlers over one directory."""

    def __init__(
        self,
        directory: Directory,
        finder: ServiceFinder,
        tickets: LookupTickets,
        access: AccessControl,
        waiting: WaitingRequests,
    ) -> None:
        self._directory = directory
        self._finder = finder
        self._tickets = tickets
        self._access = access
        self._waiting = waiting
        self._reachability = Reachability()
        self._instances: WeakKeyDictionary[Service, tuple[object, list[str], bytes]] = WeakKeyDictionary()

    async def port(self, request: web.Request) -> web.Response:
        """`GET /`: the port of the next worker at the host that was asked (the article's protocol)."""
        service = await service_named(self._directory, self._directory.default, caller_of(request))
        selector = selector_of(request)
        here = Selector(
            selector.version, selector.tags, reachable_hosts(request.host, local_address(request.transport))
        )
        if not service.rotation(here) and service.rotation(selector):
            raise Refusal(
                409,
                f"No worker of {service.name} is reachable at {request.host or 'this host'}: "
                "ask /next, which answers host:port.",
            )
        return await self._name_workers(request, Found(service, self._directory, ()), here, Form.PORT)

    async def next(self, request: web.Request) -> web.Response:
        """`GET /next[/{service}]`: the address of the next worker in rotation; with `?scheme=1` after `https://`."""
        form = address_form(request)
        name = request.match_info.get("service", self._directory.default)
        selector = selector_of(request)
        found = await self._finder.find(name, caller_of(request), selector, datacenter=request.query.get("dc", ""))
        return await self._name_workers(request, found, selector, form)

    async def _name_workers(self, request: web.Request, found: Found, selector: Selector, form: Form) -> web.Response:
        """The next worker, or the next `?count=` workers, in the form that is asked for."""
        count, service = count_of(request), found.service
        chosen = await self._chosen(found, selector, count or 1, near=request.query.get("near", ""))
        if not chosen:
            which = " of that version or tag" if selector.version or selector.tags else ""
            hint = found.directory.hint(service) or "try again"
            raise Refusal(503, f"No healthy worker of {service.name}{which} right now: {hint}.", again=True)
        if "application/json" in request.headers.get("Accept", ""):
            form = Form.OBJECT
        request[WORKER] = chosen[0].address
        workers = [(instance, self._tickets.of(instance, caller_of(request))) for instance in chosen]
        text = render_one(workers[0][0], form, workers[0][1]) if count is None else render_many(workers, form)
        content_type = form.content_type.partition(";")[0]
        return web.Response(text=text, content_type=content_type, headers=snapshot_headers(service))

    async def _chosen(self, found: Found, selector: Selector, count: int, *, near: str) -> Sequence[Instance]:
        """The next `count` workers in rotation, those nearest to the node `near` first where one is named."""
        rotation = found.service.rotation(selector)
        if not near:
            return rotation.take(count)
        product = found.directory.product
        candidates = rotation.ahead(len(rotation))
        if found.service.rollout is not None:  # the candidates are those of the version whose turn it was
            rotation.next()
        try:
            return (await found.directory.nearness.nearest_first(candidates, near))[:count]
        except UnknownNode as error:
            known = ", ".join(error.known[:20]) or "none"
            raise Refusal(
                400, f"near={near[:40]} cannot be used: {product} has network coordinates of {known}."
            ) from error
        except RegistryError as error:
            raise Refusal(503, f"{product} does not say how near nodes are: {error}", again=True) from error

    async def instances(self, request: web.Request) -> web.Response:
        """`GET /instances/{service}`: all instances with health and check output, now or when they change.

        With `?probe` each has `unreachable`: why this host does not reach it, "" where it does, null if unknown.
        """
        index, wait_s = whole_number(request, "index", default=0, least=0), wait_of(request)
        find = partial(
            self._finder.find,
            request.match_info["service"],
            caller_of(request),
            datacenter=request.query.get("dc", ""),
        )
        found = await find()
        if "probe" in request.query:
            return web.json_response(await self._probed(found.service), headers=snapshot_headers(found.service))
        if index == found.service.index:
            with self._waiting.one_more():
                await first_change(found.considered, timeout_s=wait_s)
            found = await find()
        service = found.service
        return web.Response(
            body=self._instances_body(service), content_type="application/json", headers=snapshot_headers(service)
        )

    def _instances_body(self, service: Service) -> bytes:
        """All instances as JSON, made once for each change: answers to many clients share it until they are sent."""
        generation, outputs, body = self._instances.get(service, (None, [], b""))
        outputs_now = [instance.output for instance in service.snapshot.instances]
        if generation is not service.generation or outputs != outputs_now:
            body = json.dumps(_instances(service)).encode()
            self._instances[service] = service.generation, outputs_now, body
        return body

    async def _probed(self, service: Service) -> dict[str, Any]:
        faults = await self._reachability.faults(service.snapshot.instances)
        found = _instances(service)
        return found | {"instances": [i | {"unreachable": faults.get(i["address"])} for i in found["instances"]]}

    async def services(self, request: web.Request) -> web.Response:
        """`GET /services`: names, instance counts and versions, of the services that the caller may use."""
        caller = caller_of(request)
        directory = await self._finder.directory(request.query.get("dc", ""))
        known = [s for s in directory.services() if s.snapshot.known and may_use(caller, s.name)]
        return web.json_response([_counts(s) for s in known])

    async def ready(self, request: web.Request) -> web.Response:
        """`GET /readyz`: 503 until the first snapshot of the default service, with the reason for callers only."""
        default = self._directory.followed(self._directory.default)
        assert default is not None, "the default service is followed from the start"
        if not default.snapshot.known:
            if self._access.known_caller(request.headers, Role.CLIENT) is None:
                raise Refusal(503, "Not ready yet.", again=True)
            raise not_answered_yet(default)
        if not self._tickets.ready:
            raise Refusal(503, "No ticket can be signed yet.", again=True)
        return web.Response(text="ready\n")


async def _alive(_: web.Request) -> web.Response:
    return web.Response(text="alive\n")


def _instances(service: Service) -> dict[str, Any]:
    return {
        "service": service.name,
        **({"datacenter": service.datacenter} if service.datacenter else {}),
        "index": service.index,
        "instances": [as_json(i) | {"health": i.health, "output": i.output} for i in service.snapshot.instances],
        **rollout_fields(service.rollout, service.shares),
    } | _exceptions(service.snapshot)


def _counts(service: Service) -> dict[str, Any]:
    instances = service.snapshot.instances
    return {
        "name": service.name,
        "instances": len(instances),
        "serving": len(service.snapshot.serving),
        "versions": sorted({version for instance in instances for version in instance.versions}),
    } | _exceptions(service.snapshot)


def _exceptions(snapshot: Snapshot) -> dict[str, Any]:
    """Fields that are there only while there is something to tell: `panic`, and `unusable` with the reasons."""
    panic = {} if snapshot.panic is None else {"panic": asdict(snapshot.panic)}
    unusable = {"unusable": [asdict(entry) for entry in snapshot.unusable]} if snapshot.unusable else {}
    return panic | unusable
