"""Answers plain lookups from prepared bytes before aiohttp parses them.

Nearly all the requests of a lookup service are the same few texts. The first time a text comes it is parsed with care
(`registry/lookup/plain_lookups/request.py`); if it is complete and plain, its lookup is kept under that very text. From
then on the text costs one dictionary access, one step of the rotation and one write; the lines with a request's id and
its trace, which differ each time, are taken out before. All other requests go to aiohttp unchanged, and a connection
that once needed aiohttp stays with it. A client cannot tell the two apart
(tests/unit/registry/lookup/test_fast_path.py).

Answers are prepared once per service, form and instance, whatever the text of the request
(docs/decisions/0015-prepared-lookup-answers.md); with tickets once per second and caller, too. Whole answers, with
their date, are ready for a lookup until the second ends (docs/decisions/0052-ready-lookup-answers.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from time import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from registry.discovery.directory import Directory
from registry.discovery.rotations.rotation import Rotation
from registry.discovery.rotations.selector import Selector
from registry.discovery.rotations.split_rotation import AnyRotation
from registry.discovery.service import ROTATIONS_AT_MOST, Service
from registry.instances.instance import Instance
from registry.lookup.plain_lookups.answer import (
    Prepared,
    answer_naming_many,
    answer_naming_one,
    with_headers,
    with_request_id,
)
from registry.lookup.plain_lookups.ready import Ready, ReadyAnswers
from registry.lookup.plain_lookups.request import REQUEST_AT_MOST_BYTES, PlainRequest, parse
from registry.lookup.rendering import Form
from registry.lookup.service_resolution import panic_header, stale_header
from registry.lookup.tickets import LookupTickets
from registry.runtime.logs.access_log import AccessLog
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


@dataclass(slots=True)
class _Answers:
    """The prepared answers of one service in one form, by the identity of the instance.

    They hold for `generation` of the service, as long as which its snapshot keeps the instances alive and their
    identities valid.
    """

    generation: object = None
    prepared: dict[int, Prepared] = field(default_factory=dict)


@dataclass(slots=True)
class _Lookup:
    """How one kind of request of one caller is answered; rotation and answers hold for `generation` of the service."""

    request: PlainRequest
    service: str
    caller: Caller
    generation: object = None
    rotation: AnyRotation = field(default_factory=Rotation)
    prepared: dict[int, Prepared] = field(default_factory=dict)
    ready: Ready | None = None


Lookups = dict[bytes, "_Lookup | None"]
"""Lookups by the text of the request; None where aiohttp has to answer."""


class FastPath:
    """Answers plain lookups from `directory` to those whom `access` lets in (default: all); `answered` counts them.

    Whether a text's caller may ask is decided once; a change of the tokens drops all texts. Where `tickets` go with the
    addresses, prepared answers hold for one caller and as long as their tickets are kept. `fails_over`: while no
    instance of a service is healthy, aiohttp's side answers, from another datacenter. `named` is the first instance in
    the last answer of `answer_and_name`, `last_trace_id` that of the last lookup that was traced; `access_log` and
    `tracing` are for who writes the answers, with new ids from `request_ids`.
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
        self._lookups: dict[tuple[PlainRequest, Caller], _Lookup] = {}
        self._answers: WeakKeyDictionary[Service, dict[tuple[Form, Caller], _Answers]] = WeakKeyDictionary()
        self._second = -1
        self._date = b""
        self._ready = ReadyAnswers()

    def lookups_at(self, local_address: str) -> Lookups:
        """The lookups of connections that arrived at one IP address: what a bare port means depends on it."""
        return self._by_address.setdefault(local_address, {})

    @property
    def prepared_answers(self) -> int:
        """How many answers are kept."""
        return sum(len(answers.prepared) for forms in self._answers.values() for answers in forms.values())

    def answer(self, request: bytes, lookups: Lookups, local_address: str) -> bytes | None:
        """The whole response to a whole plain request; None where aiohttp has to answer."""
        lookup = lookups.get(request)
        if lookup is not None:
            ready = lookup.ready
            if (
                ready is not None
                and ready.generation is ready.service.generation
                and ready.since_s <= time() < ready.until_s
            ):
                ring = ready.ring
                turn = ring.taken
                answer = ready.answers[turn % len(ready.answers)]
                if answer is not None:
                    ring.taken = turn + ready.step
                    self.answered += 1
                    return answer
            return self._answer_anew(lookup, "")
        return self.answer_and_name(request, lookups, local_address)

    def answer_and_name(self, request: bytes, lookups: Lookups, local_address: str) -> bytes | None:
        """As `answer`, but not from what is ready; `named` is the first instance in it."""
        if request in lookups:
            lookup, request_id = lookups[request], ""
        else:
            text, request_id = without_request_id(without_trace_context(request)[0])
            lookup = lookups[text] if text in lookups else self._learn(text, lookups, local_address)
        return None if lookup is None else self._answer_anew(lookup, request_id)

    def _answer_anew(self, lookup: _Lookup, request_id: str) -> bytes | None:
        """The response to a request for which none is ready; it is ready from then on if the next one may be alike."""
        service = self._directory.followed(lookup.service)
        if service is None or not self._brought_up_to_date(lookup, service):
            return None
        ring = lookup.rotation.only_ring
        turn = 0 if ring is None else ring.taken
        try:
            count = lookup.request.count
            named = self._name_one(lookup, service) if count is None else self._name_many(lookup, service, count)
        except Refusal:
            return None
        if named is None:
            return None
        instance, step, (before, after) = named
        self.answered += 1
        self.named = instance
        service.asked_for = True
        stale = service.watch.snapshot.stale
        if stale:
            before = with_headers(before, stale_header(service))
        if request_id:
            after = with_request_id(after, request_id)
        response = before + self._now() + after
        if ring is not None and not (request_id or stale or self._tickets.signer or lookup.caller.quota.rate_hz):
            if lookup.ready is None or lookup.ready.since_s != self._second:
                lookup.ready = self._ready.begin(service, ring, turn, step, second=self._second)
            self._ready.keep(lookup.ready, turn, response)
        return response

    def _brought_up_to_date(self, lookup: _Lookup, service: Service) -> bool:
        """Take up what has changed since the last answer; False where the caller's quota is used up."""
        if lookup.generation is not service.generation:
            self._renew(lookup, service)
        if self._tickets.signer is not None:
            self._renew_tickets(self._tickets.signer.epoch())
        return lookup.caller.quota.rate_hz is None or self._within_quota(lookup.caller)

    def _name_one(self, lookup: _Lookup, service: Service) -> tuple[Instance, int, Prepared] | None:
        """The next instance, the turns that pass, and the answer that names it. Raises Refusal without a ticket."""
        instance = lookup.rotation.next()
        if instance is None:
            return None
        return instance, 1, lookup.prepared.get(id(instance)) or self._prepare(lookup, service, instance)

    def _name_many(self, lookup: _Lookup, service: Service, count: int) -> tuple[Instance, int, Prepared] | None:
        """The same for the next `count` instances, of which the first is told."""
        chosen = lookup.rotation.take(count)
        if not chosen:
            return None
        each = [lookup.prepared.get(id(one)) or self._prepare(lookup, service, one) for one in chosen]
        return chosen[0], len(chosen), answer_naming_many(each, lookup.request.form, panic_header(service))

    def _prepare(self, lookup: _Lookup, service: Service, instance: Instance) -> Prepared:
        """Prepare the answer that names one instance. Raises Refusal where there is no ticket for it."""
        ticket = self._tickets.of(instance, lookup.caller)
        prepared = lookup.prepared[id(instance)] = answer_naming_one(
            instance, lookup.request.form, ticket, panic_header(service)
        )
        return prepared

    def _now(self) -> bytes:
        now_s = time()
        if now_s >= self._second + 1 or now_s < self._second:
            self._second, self._date = int(now_s), formatdate(now_s, usegmt=True).encode()
            self._ready.end()
        return self._date

    def _learn(self, text: bytes, lookups: Lookups, local_address: str) -> _Lookup | None:
        """The lookup of a text that comes for the first time, kept for the next time."""
        parsed = parse(text, local_address, self._directory.default)
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

    def _caller(self, request: PlainRequest, headers: Mapping[str, str]) -> Caller | None:
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
        lookup.ready = None
        elsewhere = self._fails_over and not service.serves(Selector(version=lookup.request.selector.version))
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
