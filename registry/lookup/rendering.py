"""Writes instances as the body of an answer: a port, an address, the beginning of a URL, or a JSON object. Pure."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.instances.instance import Instance
from registry.rollout.record import Rollout
from registry.rollout.shares import Shares

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"


class Form(enum.Enum):
    """The ways to name a worker."""

    PORT = enum.auto()
    ADDRESS = enum.auto()
    ORIGIN = enum.auto()
    OBJECT = enum.auto()

    @property
    def content_type(self) -> str:
        """The Content-Type of such an answer."""
        return JSON if self is Form.OBJECT else TEXT


@dataclass(frozen=True, slots=True)
class HandedTicket:
    """A ticket that goes with an address, and the seconds until it expires; the ticket is in no repr."""

    text: str = field(repr=False)
    expires_in_s: int


def render_one(instance: Instance, form: Form, ticket: HandedTicket | None = None) -> str:
    """The body that names one worker, with the ticket for it where it wants one."""
    if form is Form.OBJECT:
        return json.dumps(_with_ticket(instance, ticket))
    return f"{_line(instance, form)}{f'/?ticket={ticket.text}' if ticket else ''}\n"


def _line(instance: Instance, form: Form) -> str:
    if form is Form.PORT:
        return str(instance.port)
    return instance.origin if form is Form.ORIGIN else instance.address


def _with_ticket(instance: Instance, ticket: HandedTicket | None) -> dict[str, Any]:
    fields = {"ticket": ticket.text, "ticket_expires_in_s": ticket.expires_in_s} if ticket else {}
    return as_json(instance) | fields


def render_many(workers: Sequence[tuple[Instance, HandedTicket | None]], form: Form) -> str:
    """The body that names several workers, each with its ticket if it wants one: lines, or a JSON list."""
    if form is Form.OBJECT:
        return json.dumps([_with_ticket(instance, ticket) for instance, ticket in workers])
    return "".join(render_one(instance, form, ticket) for instance, ticket in workers)


def as_json(instance: Instance) -> dict[str, Any]:
    """An instance as a JSON object."""
    return {
        "service": instance.service,
        "id": instance.id,
        "host": instance.host,
        "port": instance.port,
        "address": instance.address,
        "scheme": instance.scheme,
        "auth": instance.auth,
        "version": instance.version,
        "boot": instance.boot,
        "weight": instance.weight,
        "tags": list(instance.tags),
    }


def rollout_fields(rollout: Rollout | None, shares: Shares | None) -> dict[str, Any]:
    """The field `rollout` of a list of instances, which is there only where a split or shadows are in force."""
    if rollout is None or shares is None:
        return {}
    now = {"shares": shares.weights, "absent": shares.absent}
    return {"rollout": {"split": rollout.split, "shadows": rollout.shadows} | now}
