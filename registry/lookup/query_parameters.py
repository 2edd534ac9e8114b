"""Reads the parameters of a lookup's query; what cannot be used is refused with a sentence that says what can.

Every function raises Refusal.
"""

from __future__ import annotations

import re

from aiohttp import web

from registry.discovery.rotations.selector import ANY, Selector
from registry.lookup.rendering import Form
from registry.web.refusal import Refusal

COUNT_AT_MOST = 1000
WAIT_AT_MOST_S = 60.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


def selector_of(request: web.Request) -> Selector:
    """Which instances `?version=` and `?tag=` select."""
    query = request.query
    if "version" not in query and "tag" not in query:
        return ANY
    return Selector(version=query.get("version", ""), tags=frozenset(query.getall("tag", ())))


def address_form(request: web.Request) -> Form:
    """How an address is written: with `?scheme=1` behind `https://` or `http://`."""
    with_scheme = whole_number(request, "scheme", default=0, least=0, most=1)
    return Form.ORIGIN if with_scheme else Form.ADDRESS


def count_of(request: web.Request) -> int | None:
    """How many workers `?count=` asks for; None where it does not stand."""
    if "count" not in request.query:
        return None
    return whole_number(request, "count", default=1, least=1, most=COUNT_AT_MOST)


def whole_number(request: web.Request, name: str, *, default: int, least: int, most: int = 1 << 62) -> int:
    """The parameter `name` from `least` to `most`, or `default`."""
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        bounds = f"of at least {least}" if most == 1 << 62 else f"from {least} to {most}"
        raise Refusal(400, f"{name}={text[:40]} cannot be used: give a whole number {bounds}.")
    return int(text)


def wait_of(request: web.Request) -> float:
    """How long `?wait=` allows to wait for a change, in seconds."""
    text = request.query.get("wait", "30s")
    match = _DURATION.fullmatch(text)
    if not match:
        raise Refusal(400, f"wait={text[:40]} cannot be used: give a time such as 30s or 500ms.")
    return min(WAIT_AT_MOST_S, float(match[1]) * _UNIT_S[match[2]])
