"""Which texts are plain lookups, and what they ask for."""

from __future__ import annotations

import pytest

from registry.discovery.rotations.selector import ANY, Selector
from registry.lookup.plain_lookups.request import PlainRequest, parse
from registry.lookup.rendering import Form


def asked(target: str, *headers: str) -> PlainRequest | None:
    """What a request for the target asks for, of a server whose default service is `classify`."""
    lines = [f"GET {target} HTTP/1.1", "Host: 10.0.0.1", *headers, "", ""]
    parsed = parse("\r\n".join(lines).encode(), "10.0.0.1", "classify")
    return None if parsed is None else parsed[0]


@pytest.mark.parametrize(
    ("target", "request_"),
    [
        ("/next", PlainRequest("classify", ANY, Form.ADDRESS)),
        ("/next/cats", PlainRequest("cats", ANY, Form.ADDRESS)),
        ("/next?scheme=1", PlainRequest("classify", ANY, Form.ORIGIN)),
        ("/next?count=3", PlainRequest("classify", ANY, Form.ADDRESS, 3)),
        ("/next/cats?version=7", PlainRequest("cats", Selector(version="7"), Form.ADDRESS)),
        ("/next?count=2&version=v.1&scheme=1", PlainRequest("classify", Selector(version="v.1"), Form.ORIGIN, 2)),
    ],
)
def test_plain_targets_are_read(target: str, request_: PlainRequest) -> None:
    """Service, version, number and form."""
    assert asked(target) == request_


def test_json_takes_precedence_over_the_other_forms() -> None:
    """As in aiohttp's handlers, `Accept: application/json` makes objects of addresses."""
    found = asked("/next?scheme=1&count=1", "Accept: application/json")
    assert found == PlainRequest("classify", ANY, Form.OBJECT, 1)


@pytest.mark.parametrize(
    "target",
    [
        *("/next?count=0", "/next?count=10", "/next?count=03", "/next?scheme=0", "/next?scheme=2", "/next?version="),
        *("/next?count=2&count=2", "/next?tag=a", "/next?near=n1", "/next?dc=dc2", "/next?version=%33", "/next?"),
        *("/next?count=2&", "/next?count", "/?count=2", "/?scheme=1", "/next/", "/next/a/b", "/services"),
    ],
)
def test_other_targets_are_left_to_aiohttp(target: str) -> None:
    """What is rare, refused or written unusually is not plain."""
    assert asked(target) is None


@pytest.mark.parametrize("header", ["Connection: close", "Host: other", "Range: bytes=0-1", "X-Odd: 1"])
def test_headers_that_may_change_the_answer_are_not_plain(header: str) -> None:
    """Nor is one that stands there twice."""
    assert asked("/next", header) is None
