"""Answers plain lookups from prepared bytes before aiohttp parses them.

`GET /`, `/next` and `/next/{service}`, with `?scheme=1` or without, are nearly all the requests of a lookup service,
always with the same few texts. The first time a text comes it is parsed with care; if it is complete and plain, its
lookup is kept under that very text. From then on the text costs one dictionary access, one step of the rotation and
one write; the lines with a request's id and its trace, which differ each time, are taken out before. All other requests
go to aiohttp unchanged, and a connection that once needed aiohttp stays with it. A client cannot tell the two apart
(tests/unit/registry/lookup/test_fast_path.py).

Answers are prepared once per service, form and instance, whatever the text of the request
(docs/decisions/0015-prepared-lookup-answers.md); with tickets once per second and caller, too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from aiohttp.http import SERVER_SOFTWARE

from registry.discovery.directory import Directory
from registry.discovery.rotations.rotation import Rotation
from registry.discovery.rotations.selector import ANY, Selector
from registry.discovery.rotations.split_rotation import AnyRotation
from registry.discovery.service import ROTATIONS_AT_MOST, Service
from registry.instances.instance import Instance
from registry.lookup.host_match import reachable_hosts
from registry.lookup.rendering import Form, HandedTicket, render_one
from registry.lookup.service_resolution import panic_header, stale_header
from registry.lookup.tickets import LookupTickets
from registry.runtime.logs.access_log import AccessLog
from registry.runtime.request_id import HEADER as REQUEST_ID
from registry.runtime.request_id import RequestIds, without_request_id
from registry.runtime.tracing.trace_context import without_trace_context
from registry.security.access import AccessDenied, check_service
from registry.security.access_control import AccessControl
from registry.security.caller import ANONYMOUS, Caller, Role
from registry.security.quota import OverQuota
from registry.web.refusal import Refusal

if TYPE_CHECKING:
    from registry.runtime.tracing.server_spans import Tracing

TEXTS_AT_MOST = 4096
"""Request texts kept per local address."""

LOOKUPS_AT_MOST = 2 * ROTATIONS_AT_MOST
"""Distinct lookups kept, each of which holds a rotation."""

REQUEST_AT_MOST_BYTES = 2048

# A whole plain request. aiohttp judges everything beyond these characters.
_PLAIN = re.compile(
    rb"GET (/|/next(?:/[A-Za-z0-9._-]{1,128})?(?:\?scheme=1)?) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z-]+: [\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\r\n)*)\r\n"
)
_HARMLESS = frozenset(
    {
        *(b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"pragma"),
        b"authorization",
    }
)

Prepared = dict[int, tuple[bytes, bytes]]
"""What stands before and after the date of an answer, by the identity of the instance."""


@dataclass(slots=True)
class _Answers:
    """The prepared answers of one service in one form; `generation` is the service's for which they hold.

    The service's snapshot keeps the instances alive, and their identities valid, for as long as a generation lasts.
    """

    generation: object = None
    prepared: Prepared = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Request:
    """What a plain request asks for."""

    service: str
    selector: Selector
    form: Form


@dataclass(slots=True)
class _Lookup:
    """How one kind of request of one caller is answered; rotation and answers hold for `generation` of the service."""

    request: _Request
    service: str
    caller: Caller
    generation: object = None
    rotation: AnyRotation = field(default_factory=Rotation)
    prepared: Prepared = field(default_factory=dict)


Lookups = dict[bytes, "_Lookup | None"]
"""Lookups by the text of the request; None where aiohttp has to answer."""


class FastPath:
    """Answers plain lookups from `directory` to those whom `access` lets in (default: all); `answered` counts them.

    Whether a text's caller may ask is decided once; a change of the tokens drops all texts. Where `tickets` go with the
    addresses, prepared answers hold for one caller and as long as their tickets are kept. `fails_over`: while no
    instance of a service is healthy, aiohttp's side answers, from another datacenter. `named` is the instance in the
    last answer, `last_trace_id` that of the last lookup that was traced; `access_log` and `tracing` are for who writes
    the answers, with new ids from `request_ids`.
    """

    def __init__(
        self,
        directory: Directory,
        tickets: LookupTickets | None = None,
        access: AccessControl | None = None,
        *,
        fails_over: bool = False,
        access_log: AccessLog | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.answered = 0
        self.named: Instance | None = None
        self.last_trace_id = ""
        self.access_log = access_log
        self.tracing = tracing
        self.request_ids = RequestIds()
        self._directory = directory
        self._fails_over = fails_over
        self._tickets = tickets or LookupTickets()
        self._epoch: object = None
        self._access = access or AccessControl()
        self._access.when_tokens_change(self._forget_texts)
        self._by_address: dict[str, Lookups] = {}
        self._lookups: dict[tuple[_Request, Caller], _Lookup] = {}
        self._answers: WeakKeyDictionary[Service, dict[tuple[Form, Caller], _Answers]] = WeakKeyDictionary()
        self._second = -1
        self._date = b""

    def lookups_at(self, local_address: str) -> Lookups:
        """The lookups of connections that arrived at one IP address: what a bare port means depends on it."""
        return self._by_address.setdefault(local_address, {})

    @property
    def prepared_answers(self) -> int:
        """How many answers are kept."""
        return sum(len(answers.prepared) for forms in self._answers.values() for answers in forms.values())

    def answer(self, request: bytes, lookups: Lookups, local_address: str) -> bytes | None:
        """The whole response to a whole plain request; None where aiohttp has to answer."""
        request_id = ""
        try:
            lookup = lookups[request]
        except KeyError:
            text, request_id = without_request_id(without_trace_context(request)[0])
            lookup = lookups[text] if text in lookups else self._learn(text, lookups, local_address)
        if lookup is None:
            return None
        service = self._directory.followed(lookup.service)
        if service is None:
            return None
        if lookup.generation is not service.generation:
            self._renew(lookup, service)
        if self._tickets.signer is not None:
            self._renew_tickets(self._tickets.signer.epoch())
        if lookup.caller.quota.rate_hz is not None and not self._within_quota(lookup.caller):
            return None
        instance = lookup.rotation.next()
        if instance is None:
            return None
        try:
            before, after = lookup.prepared[id(instance)]
        except KeyError:
            try:
                ticket = self._tickets.of(instance, lookup.caller)
            except Refusal:
                return None
            before, after = lookup.prepared[id(instance)] = _response(instance, lookup.request.form, service, ticket)
        self.answered += 1
        self.named = instance
        service.asked_for = True
        if service.watch.snapshot.stale:
            before = _with_headers(before, stale_header(service))
        if request_id:
            after = _with_request_id(after, request_id)
        return before + self._now() + after

    def _now(self) -> bytes:
        now_s = time.time()
        if now_s >= self._second + 1 or now_s < self._second:
            self._second, self._date = int(now_s), formatdate(now_s, usegmt=True).encode()
        return self._date

    def _learn(self, text: bytes, lookups: Lookups, local_address: str) -> _Lookup | None:
        """The lookup of a text that comes for the first time, kept for the next time."""
        parsed = _parse(text, local_address, self._directory.default)
        caller = None if parsed is None else self._caller(parsed[0], parsed[1])
        lookup = None
        if parsed is not None and caller is not None:
            request = parsed[0]
            if (request, caller) not in self._lookups and len(self._lookups) >= LOOKUPS_AT_MOST:
                self._forget_texts()
            lookup = self._lookups.setdefault((request, caller), _Lookup(request, request.service, caller))
        if len(lookups) >= TEXTS_AT_MOST:
            lookups.clear()
        if len(text) <= REQUEST_AT_MOST_BYTES:
            lookups[text] = lookup
        return lookup

    def _caller(self, request: _Request, headers: Mapping[str, str]) -> Caller | None:
        """Who asks; None where aiohttp has to refuse."""
        try:
            self._access.check_host(headers)
            caller = self._access.caller(headers, Role.CLIENT)
            check_service(caller, request.service)
        except AccessDenied:
            return None
        return caller

    def _within_quota(self, caller: Caller) -> bool:
        try:
            self._access.count(caller)
        except OverQuota:
            return False
        return True

    def _forget_texts(self) -> None:
        self._lookups.clear()
        for texts in self._by_address.values():
            texts.clear()

    def _renew(self, lookup: _Lookup, service: Service) -> None:
        """Take up what has changed: another set of instances, or a rotation that was dropped."""
        elsewhere = self._fails_over and not service.snapshot.serving
        lookup.rotation = Rotation() if elsewhere else service.rotation(lookup.request.selector)
        shared_by = (lookup.request.form, ANONYMOUS if self._tickets.signer is None else lookup.caller)
        answers = self._answers.setdefault(service, {}).setdefault(shared_by, _Answers())
        if answers.generation is not service.generation:
            answers.generation = service.generation
            answers.prepared.clear()
        lookup.prepared = answers.prepared
        lookup.generation = service.generation

    def _renew_tickets(self, epoch: object) -> None:
        """Forget the answers whose tickets are of a second, or of a key, that has passed."""
        if epoch != self._epoch:
            self._epoch = epoch
            for each in self._answers.values():
                for answers in each.values():
                    answers.prepared.clear()


def _parse(text: bytes, local_address: str, default: str) -> tuple[_Request, Mapping[str, str]] | None:
    """What a complete, plain request asks for, and its headers; None for any other text."""
    match = _PLAIN.fullmatch(text) if len(text) <= REQUEST_AT_MOST_BYTES else None
    if match is None:
        return None
    target, lines = match[1].decode(), match[2].split(b"\r\n")[:-1]
    headers = [line.partition(b": ")[::2] for line in lines]
    names = [name.lower() for name, _ in headers]
    if not _HARMLESS.issuperset(names) or len(set(names)) != len(names) or b"host" not in names:
        return None
    values = {name.decode().title(): value.decode() for name, (_, value) in zip(names, headers, strict=True)}
    accepts = values.get("Accept", "")
    if target == "/" and "text/html" in accepts:  # a browser, which may get the page
        return None
    json = "application/json" in accepts
    if target != "/":
        path, query, _ = target.partition("?")
        form = Form.OBJECT if json else Form.ORIGIN if query else Form.ADDRESS
        return _Request(path.removeprefix("/next").removeprefix("/") or default, ANY, form), values
    reachable = Selector(hosts=reachable_hosts(values["Host"], local_address))
    return _Request(default, reachable, Form.OBJECT if json else Form.PORT), values


def _response(instance: Instance, form: Form, service: Service, ticket: HandedTicket | None) -> tuple[bytes, bytes]:
    """What stands before and after the date, header for header as aiohttp writes it."""
    body = render_one(instance, form, ticket).encode()
    head = _with_headers(_head(form, len(body)), panic_header(service))
    return head, f"\r\nServer: {SERVER_SOFTWARE}\r\n\r\n".encode() + body


def _with_headers(head: bytes, headers: Mapping[str, str]) -> bytes:
    """The head with headers of ours where aiohttp puts them: behind the status line."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.replace(b"\r\n", b"\r\n" + lines.encode(), 1)


def _with_request_id(after: bytes, request_id: str) -> bytes:
    """What stands after the date, with the id as the last header, where aiohttp's side puts it."""
    return after.replace(b"\r\n\r\n", f"\r\n{REQUEST_ID}: {request_id}\r\n\r\n".encode(), 1)


@lru_cache(maxsize=1024)  # few lengths, many workers: heads shared by all of a length stay in the processor's cache
def _head(form: Form, length: int) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {form.content_type}\r\nContent-Length: {length}\r\nDate: "
    return head.encode()
