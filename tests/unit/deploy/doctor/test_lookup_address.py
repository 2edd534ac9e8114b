"""What --registry of `p2p doctor` means: the same as for the client's commands."""

from __future__ import annotations

import pytest

from deploy.doctor.lookup_address import consul_in, lookup_urls
from p2pclient.discovery.address import addresses
from registry.runtime.errors import SettingsError


@pytest.mark.parametrize(
    "registry",
    ["lookup", "lookup:80", "http://lookup:80/p2p/", "https://lookup:443", "a:1,b", "[::1]:12480", "http://[::1]:5"],
)
def test_it_is_read_as_the_client_reads_it(registry: str) -> None:
    """The same URLs in the same order."""
    with_ports = [f"{url.origin()}{url.path}" for url in addresses(registry).urls]
    assert [url.replace(":80/", "/").replace(":443/", "/") for url in (f"{u}/" for u in lookup_urls(registry))] == [
        f"{url.rstrip('/')}/" for url in with_ports
    ]


def test_consul_in_its_place() -> None:
    """There is no lookup service then, and Consul's agent is the one that is named."""
    assert lookup_urls("consul://c:8500") == ()
    assert consul_in("consul+https://c:8501") == "https://c:8501"
    assert consul_in("lookup:80") is None


@pytest.mark.parametrize("registry", ["", "ftp://a", "http://", "a:b:c:d", "http://a:99999"])
def test_what_is_no_address_is_refused(registry: str) -> None:
    """With a sentence."""
    with pytest.raises(SettingsError, match="no address of a lookup service"):
        lookup_urls(registry)
