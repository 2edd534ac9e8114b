"""Lookups answered from ready-made bytes, before the framework sees them.

`GET /`, `/next` and `/next/{service}` are nearly all that a lookup service is asked, always with the same few
request texts. The first time a text comes it is read with care; if it is complete and plain, the plan of its
answer is kept under that very text, and from then on costs one dictionary access, one step of the rotation and
one write. Everything else goes to aiohttp unchanged, and a connection that once needed aiohttp stays with it.
A client cannot tell the two apart (tests/property/test_fastpath.py).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE

from registry.consul.instance import Instance
from registry.discovery.directory import ANY, Directory, Service, Wanted
from registry.discovery.rotation import Rotation
from registry.lookup.host_match import hosts_meant
from registry.lookup.rendering import Form, render_one
from registry.lookup.service_resolution import stale_header

PLANS_AT_MOST = 4096
REQUEST_AT_MOST_BYTES = 2048

# A plain request, whole. Anything beyond these characters is aiohttp's to judge.
_PLAIN = re.compile(
    rb"GET (/|/next|/next/[A-Za-z0-9._-]{1,128}) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z-]+: [\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\r\n)*)\r\n"
)
_HARMLESS = frozenset(
    {b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"pragma"}
)


@dataclass(slots=True)
class _Plan:
    """How one request text is answered, and what was prepared for it at one `version` of the service.

    `ready` holds what stands before and after the date, by the identity of the instance: the rotation keeps the
    instances alive for as long as the version lasts.
    """

    service: str
    wanted: Wanted
    form: Form
    version: int = -1
    rotation: Rotation = field(default_factory=Rotation)
    ready: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)


Plans = dict[bytes, "_Plan | None"]


class FastPath:
    """Answers plain lookups from `directory`; `answered` counts them."""

    def __init__(self, directory: Directory) -> None:
        self.answered = 0
        self._directory = directory
        self._plans: dict[str, Plans] = {}
        self._second = -1
        self._date = b""

    def plans_for(self, local_address: str) -> Plans:
        """The plans of connections that arrived at one IP address: what a bare port means depends on it."""
        return self._plans.setdefault(local_address, {})

    def answer(self, request: bytes, plans: Plans, local_address: str) -> bytes | None:
        """The whole response to a whole plain request; None where aiohttp has to answer."""
        try:
            plan = plans[request]
        except KeyError:
            plan = self._plan(request, plans, local_address)
        if plan is None:
            return None
        service = self._directory.followed(plan.service)
        if service is None:
            return None
        if plan.version != service.version:
            _renew(plan, service)
        instance = plan.rotation.next()
        if instance is None:
            return None
        try:
            before, after = plan.ready[id(instance)]
        except KeyError:
            before, after = plan.ready[id(instance)] = _response(instance, plan.form)
        self.answered += 1
        if service.follower.belief.stale:
            before = _aged(before, service)
        return before + self._now() + after

    def _now(self) -> bytes:
        now_s = time.time()
        if now_s >= self._second + 1 or now_s < self._second:
            self._second, self._date = int(now_s), formatdate(now_s, usegmt=True).encode()
        return self._date

    def _plan(self, request: bytes, plans: Plans, local_address: str) -> _Plan | None:
        if len(plans) >= PLANS_AT_MOST:
            plans.clear()
        plan = _read(request, local_address, self._directory.default)
        if len(request) <= REQUEST_AT_MOST_BYTES:
            plans[request] = plan
        return plan


def _renew(plan: _Plan, service: Service) -> None:
    """Take up what changed: another set, or a rotation that was dropped meanwhile."""
    plan.rotation = service.rotation(plan.wanted)
    plan.version = service.version
    plan.ready.clear()


def _read(request: bytes, local_address: str, default: str) -> _Plan | None:
    """The plan for a complete, plain request; None for anything else."""
    match = _PLAIN.fullmatch(request) if len(request) <= REQUEST_AT_MOST_BYTES else None
    if match is None:
        return None
    target, lines = match[1].decode(), match[2].split(b"\r\n")[:-1]
    headers = [line.partition(b": ")[::2] for line in lines]
    names = [name.lower() for name, _ in headers]
    if not _HARMLESS.issuperset(names) or len(set(names)) != len(names) or b"host" not in names:
        return None
    values = dict(zip(names, (value.decode() for _, value in headers), strict=True))
    json = "application/json" in values.get(b"accept", "")
    if target != "/":
        form = Form.OBJECT if json else Form.ADDRESS
        return _Plan(target.removeprefix("/next").removeprefix("/") or default, ANY, form)
    here = Wanted(hosts=hosts_meant(values[b"host"], local_address))
    return _Plan(default, here, Form.OBJECT if json else Form.PORT)


def _response(instance: Instance, form: Form) -> tuple[bytes, bytes]:
    """What stands before and after the date, header for header as aiohttp writes it."""
    body = render_one(instance, form).encode()
    return _head(form, len(body)), f"\r\nServer: {SERVER_SOFTWARE}\r\n\r\n".encode() + body


def _aged(head: bytes, service: Service) -> bytes:
    """A head that says how old the answer is, where the framework puts a header of ours: behind the status."""
    ((name, value),) = stale_header(service).items()
    return head.replace(b"\r\n", f"\r\n{name}: {value}\r\n".encode(), 1)


@lru_cache(maxsize=1024)  # few lengths, many workers: heads shared by all of a length stay in the processor's cache
def _head(form: Form, length: int) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {form.content_type}\r\nContent-Length: {length}\r\nDate: "
    return head.encode()


class LookupProtocol(web.RequestHandler):
    """aiohttp's connection handler with the fast path in front of it."""

    __slots__ = ("_active", "_fast", "_local_address", "_plain", "_plans")

    def __init__(self, server: web.Server, fast: FastPath, **options: Any) -> None:
        super().__init__(server, **options)
        self._fast = fast
        self._plain = True
        self._active = False
        self._local_address = ""
        self._plans: Plans = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, and remember at which address it arrived."""
        super().connection_made(transport)
        self._local_address = local_address(transport)
        self._plans = self._fast.plans_for(self._local_address)

    def data_received(self, data: bytes) -> None:
        """Answer at once what is plain; what is not, and all that follows it, goes the ordinary way."""
        # A client that does not read its answers is aiohttp's to slow down (_paused).
        if self._plain and not (self._paused or self._force_close or self._close):
            response = self._fast.answer(data, self._plans, self._local_address)
            if response is not None:
                assert self.transport is not None
                self.transport.write(response)
                self._active = True
                return
            self._plain = False
        super().data_received(data)

    def _process_keepalive(self) -> None:
        """aiohttp's timer for idle connections: one that the fast path has answered meanwhile is not idle."""
        if self._active:
            self._active = False
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()


def local_address(transport: asyncio.BaseTransport | None) -> str:
    """The IP address of this end of a connection; "" where there is none."""
    name = transport.get_extra_info("sockname") if transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else ""


def protocol_factory(server: web.Server, fast: FastPath, **options: Any) -> Callable[[], LookupProtocol]:
    """What `loop.create_server` wants: a new protocol for each connection."""
    loop = asyncio.get_running_loop()
    return lambda: LookupProtocol(server, fast, loop=loop, **options)
