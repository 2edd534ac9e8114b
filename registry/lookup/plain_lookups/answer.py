"""Puts the answers to plain lookups together, header for header as aiohttp writes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

from aiohttp.http import SERVER_SOFTWARE

from registry.instances.instance import Instance
from registry.lookup.rendering import Form, HandedTicket, render_one
from registry.runtime.request_id import HEADER as REQUEST_ID

Prepared: TypeAlias = tuple[bytes, bytes]
"""What stands before and after the date of an answer."""

_SERVER = f"\r\nServer: {SERVER_SOFTWARE}\r\n\r\n".encode()
"""What stands between the date and the body."""


def answer_naming_one(
    instance: Instance, form: Form, ticket: HandedTicket | None, headers: Mapping[str, str]
) -> Prepared:
    """The answer that names one instance, with the ticket for it if it wants one, and with headers of ours."""
    return _answer(render_one(instance, form, ticket).encode(), form, headers)


def answer_naming_many(each: Sequence[Prepared], form: Form, headers: Mapping[str, str]) -> Prepared:
    """The answer that names several instances, of each of which `each` has the answer that names it alone."""
    bodies = [after[len(_SERVER) :] for _, after in each]
    return _answer(b"[" + b", ".join(bodies) + b"]" if form is Form.OBJECT else b"".join(bodies), form, headers)


def with_headers(head: bytes, headers: Mapping[str, str]) -> bytes:
    """The head with headers of ours where aiohttp puts them: behind the status line."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.replace(b"\r\n", b"\r\n" + lines.encode(), 1)


def with_request_id(after: bytes, request_id: str) -> bytes:
    """What stands after the date, with the id as the last header, where aiohttp's side puts it."""
    return after.replace(b"\r\n\r\n", f"\r\n{REQUEST_ID}: {request_id}\r\n\r\n".encode(), 1)


def _answer(body: bytes, form: Form, headers: Mapping[str, str]) -> Prepared:
    return with_headers(_head(form, len(body)), headers), _SERVER + body


@lru_cache(maxsize=1024)  # few lengths, many workers: heads shared by all of a length stay in the processor's cache
def _head(form: Form, length: int) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {form.content_type}\r\nContent-Length: {length}\r\nDate: "
    return head.encode()
