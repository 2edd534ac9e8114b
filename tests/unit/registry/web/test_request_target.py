"""What of a request's target goes on to a worker, and where it can lead: nowhere but to that worker."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.web.request_target import location, origin_form, split_service

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E))


@pytest.mark.parametrize(
    ("target", "form"),
    [
        ("/", "/"),
        ("/a%2Fb?top=5", "/a%2Fb?top=5"),
        ("//evil.example/x", "//evil.example/x"),
        ("http://host:1/a?b", "/a?b"),
        ("HTTP://host", "/"),
        ("http://host?b", "/?b"),
        ("/a#b", "/a"),
        ("/?to=http://x/y", "/?to=http://x/y"),
        ("*", None),
        ("host:443", None),
        ("", None),
    ],
)
def test_origin_form(target: str, form: str | None) -> None:
    """Of a target, path and query are taken as they stand, without scheme, host and fragment."""
    assert origin_form(target) == form


@pytest.mark.parametrize(
    ("target", "service", "rest"),
    [
        ("/to/classify", "classify", "/"),
        ("/to/classify/", "classify", "/"),
        ("/to/classify?top=1", "classify", "/?top=1"),
        ("/to/classify/a%2Fb/%63?x=/to/y", "classify", "/a%2Fb/%63?x=/to/y"),
        ("/to/classify//evil.example/x", "classify", "//evil.example/x"),
        ("/to/caf%C3%A9/x?", "café", "/x?"),
        ("/%74o/a%2Fb/../c", "a/b", "/../c"),
    ],
)
def test_split_service(target: str, service: str, rest: str) -> None:
    """The service's name is decoded, and what follows it is left exactly as it was sent."""
    assert split_service(target) == (service, rest)


@given(VISIBLE)
def test_visible_characters_are_kept(text: str) -> None:
    """A target that a client may send goes into the Location as it is, but for a backslash."""
    assert location("http://h:1", "/" + text.replace("#", "")) == "http://h:1/" + text.replace("#", "").replace(
        "\\", "%5C"
    )


@given(st.binary(max_size=30))
def test_location_is_one_line_to_the_worker(raw: bytes) -> None:
    """Whatever bytes stand in a target, the Location is visible ASCII and leads to the worker."""
    where = location("http://10.0.0.1:9001", "/" + raw.decode("utf-8", "surrogateescape"))
    assert where.startswith("http://10.0.0.1:9001/")
    assert where.isascii()
    assert where.isprintable()
    assert " " not in where
    assert urlsplit(where).netloc == "10.0.0.1:9001"
    assert "\\" not in where


@given(st.text(min_size=1), VISIBLE.filter(lambda t: "#" not in t))
def test_any_name_survives(name: str, rest: str) -> None:
    """A service's name comes out as it was before it was encoded, and the rest untouched."""
    assert split_service(f"/to/{quote(name, safe='')}/{rest}") == (name, f"/{rest}")
