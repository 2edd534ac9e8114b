"""Names in the Host header: those of this server pass, and every name that a page could rebind is refused."""

from __future__ import annotations

import pytest

from registry.runtime.errors import SettingsError
from registry.security.access import AccessDenied
from registry.security.browsers.host_names import HostNames, host_name

NAMES = HostNames(["box", "Box.example.org", ""])


@pytest.mark.parametrize(
    "header",
    [None, "", "localhost", "LOCALHOST:12480", "127.0.0.1", "10.0.0.5:9001", "[::1]:9001", "[::1]", "box", "box:1",
     "BOX.example.ORG.:443"],
)  # fmt: skip
def test_names_of_this_server(header):
    """Addresses, localhost and the names that are allowed, in any case, with or without a port or a dot at the end."""
    NAMES.check(header)


@pytest.mark.parametrize("header", ["evil.example", "box.evil.example", "localhost.evil:80", "127.0.0.1.nip.io"])
def test_names_of_others(header):
    """A page's own name is refused, whatever it resolves to."""
    with pytest.raises(
        AccessDenied, match="is not a name of this server: ask it by its address, or start it"
    ) as denied:
        NAMES.check(header)
    assert denied.value.status == 421


def test_what_is_allowed_is_the_name_of_a_host():
    """A name with a port or a path could never match."""
    assert host_name("models.example") == "models.example"
    for text in ("models.example:80", "http://models.example", ""):
        with pytest.raises(SettingsError, match="is not the name of a host"):
            host_name(text)
