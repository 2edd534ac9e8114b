"""Writes instances as the body of an answer: a port, an address, the beginning of a URL, or a JSON object. Pure."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from typing import Any

from registry.consul.instance import Instance

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


def render_one(instance: Instance, form: Form) -> str:
    """The body that names one worker."""
    if form is Form.OBJECT:
        return json.dumps(as_json(instance))
    return f"{_line(instance, form)}\n"


def _line(instance: Instance, form: Form) -> str:
    if form is Form.PORT:
        return str(instance.port)
    return instance.origin if form is Form.ORIGIN else instance.address


def render_many(instances: Sequence[Instance], form: Form) -> str:
    """The body that names several workers: lines, or a JSON list."""
    if form is Form.OBJECT:
        return json.dumps([as_json(i) for i in instances])
    return "".join(render_one(i, form) for i in instances)


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
