"""What a registry's address may look like, and what must not be one."""

from __future__ import annotations

import pytest

from p2pclient.discovery.address import addresses, registry_url


@pytest.mark.parametrize(
    ("text", "urls", "consul"),
    [
        ("lookup", ["http://lookup:12480"], False),
        ("a:1, b:2,c", ["http://a:1", "http://b:2", "http://c:12480"], False),
        ("a,https://b/p2p", ["http://a:12480", "https://b/p2p"], False),
        ("consul://agent", ["http://agent:8500"], True),
        ("consul+https://a:8501,consul://b:1", ["https://a:8501", "http://b:1"], True),
        ("consul://[::1]:8500", ["http://[::1]:8500"], True),
    ],
)
def test_what_is_named(text, urls, consul):
    """One address or several, of lookup services or of Consul, each with its usual port."""
    found = addresses(text)
    assert ([str(url).rstrip("/") for url in found.urls], found.consul) == (urls, consul)


@pytest.mark.parametrize("text", ["a,,b", ",", "a b,c", "consul://", "consul://h/?x", "consul://a,b", "consul+ftp://a"])
def test_what_names_nothing(text):
    """A part that can mean nothing makes the whole a mistake."""
    with pytest.raises(ValueError, match="address"):
        addresses(text)


def test_passwords_are_not_shown():
    """What people are shown has neither names nor passwords."""
    found = addresses("http://me:secret@a:1,b")
    assert found.shown == "http://a:1,http://b:12480"
    assert found.with_password


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("lookup", "http://lookup:12480"),
        ("lookup:8080", "http://lookup:8080"),
        ("127.0.0.1:4711", "http://127.0.0.1:4711"),
        ("[::1]", "http://[::1]:12480"),
        ("[::1]:4711", "http://[::1]:4711"),
        ("http://lookup", "http://lookup"),
        ("https://gateway/p2p/", "https://gateway/p2p/"),
    ],
)
def test_addresses(text, url):
    """A bare host gets the usual port, a URL means what it says."""
    assert str(registry_url(text)) == url


@pytest.mark.parametrize(
    "text",
    ["", ":80", "::1", "a b", "host:port", "host:70000", "ftp://host", "http://", "http://host/?x=1", "a#b"],
)
def test_what_is_no_address(text):
    """Anything else is refused with the two forms that would do."""
    with pytest.raises(ValueError, match="give http://HOST:PORT or HOST:PORT"):
        registry_url(text)
