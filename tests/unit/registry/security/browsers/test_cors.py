"""CORS: which pages may read an answer, and what a browser is told before it asks."""

from __future__ import annotations

import pytest

from registry.runtime.errors import SettingsError
from registry.security.browsers.cors import Origins, origin

PAGE = "https://page.example"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


@pytest.mark.parametrize("text", ["*", PAGE, "http://localhost:8000", "http://[::1]:8000", "http://10.0.0.5"])
def test_origins_as_browsers_send_them(text):
    """Scheme, host and port, as they stand in the header Origin."""
    assert origin(text) == text


@pytest.mark.parametrize("text", ["", "page.example", "https://Page.example", f"{PAGE}/", "https://*.example", "null"])
def test_what_no_browser_sends_is_no_origin(text):
    """An origin that could never match is a mistake, which is named at the start."""
    with pytest.raises(SettingsError, match="is not an origin: write "):
        origin(text)


def test_off_by_default():
    """Without origins no header is added, and OPTIONS is nothing special."""
    off = Origins()
    assert not off
    assert off.headers({"Origin": PAGE}) == {}
    assert off.preflight("OPTIONS", PREFLIGHT) is None


def test_a_page_of_an_allowed_origin_may_read_the_answer():
    """The answer names the origin, and says that it depends on it; a request without Origin is left alone."""
    origins = Origins([PAGE])
    headers = origins.headers({"Origin": PAGE})
    assert (headers["Access-Control-Allow-Origin"], headers["Vary"]) == (PAGE, "Origin")
    assert {"Retry-After", "X-Registry-Stale"} <= set(headers["Access-Control-Expose-Headers"].split(", "))
    assert "Access-Control-Allow-Credentials" not in headers
    assert origins.headers({}) == {}


@pytest.mark.parametrize("other", ["https://page.example.evil", "https://evil", "http://page.example", "null"])
def test_other_pages_may_not(other):
    """An answer to another origin carries no permission, in a preflight neither."""
    origins = Origins([PAGE])
    assert origins.headers({"Origin": other}) == {"Vary": "Origin"}
    assert origins.preflight("OPTIONS", PREFLIGHT | {"Origin": other}) == {"Vary": "Origin"}


def test_every_origin():
    """With * any page may read the answers, which do not depend on it."""
    assert Origins(["*"]).headers({"Origin": PAGE})["Access-Control-Allow-Origin"] == "*"


def test_a_preflight_is_told_what_may_be_sent():
    """Methods and headers, tokens included, for ten minutes."""
    headers = Origins([PAGE]).preflight("OPTIONS", PREFLIGHT)
    assert headers is not None
    assert headers["Access-Control-Allow-Origin"] == PAGE
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert {"Authorization", "Content-Type"} <= set(headers["Access-Control-Allow-Headers"].split(", "))
    assert headers["Access-Control-Max-Age"] == "600"
    assert Origins([PAGE]).preflight("OPTIONS", {"Origin": PAGE}) is None
    assert Origins([PAGE]).preflight("GET", PREFLIGHT) is None
