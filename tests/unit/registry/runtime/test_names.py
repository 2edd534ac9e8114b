"""Names from outside are taken by one rule a kind, and refused with the rule in the sentence."""

from __future__ import annotations

import pytest

from registry.runtime.errors import SettingsError
from registry.runtime.names import advertised_host, datacenters, listening_host, service_name, tag


@pytest.mark.parametrize("name", ["classify", "a", "7", "My-Cats-2", "x" * 63])
def test_names_of_services(name: str) -> None:
    """Letters, digits and dashes within, up to 63 bytes, are a name in Consul, in DNS and in a path."""
    assert service_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/cats",
        "cats/",
        "x//y",
        ".",
        "..",
        "a.b",
        "my digits",
        "my_digits",
        "-a",
        "a-",
        "x" * 64,
        "chäts",
        "²",
        "a\n",
    ],
)
def test_refused_names_of_services(name: str) -> None:
    """What a path, a DNS name or Consul would change or not find is refused with the rule."""
    with pytest.raises(SettingsError, match=r" cannot name a service: .* 63 letters, digits and dashes"):
        service_name(name)


@pytest.mark.parametrize(("text", "names"), [("", ()), ("dc2", ("dc2",)), ("dc2, eu_west-1,", ("dc2", "eu_west-1"))])
def test_lists_of_datacenters(text: str, names: tuple[str, ...]) -> None:
    """Names with commas between, in the order given."""
    assert datacenters(text) == names


def test_refused_names_of_datacenters() -> None:
    """What Consul takes for no name of a datacenter is refused with the rule."""
    with pytest.raises(SettingsError, match="'a b' cannot name a datacenter"):
        datacenters("dc1,a b")


def test_a_refused_name_is_shown_in_ascii_and_not_in_full() -> None:
    """Control characters and surrogates are escaped, and a long name is cut."""
    with pytest.raises(SettingsError) as refusal:
        service_name("\x1b[2J\udce9" + "x" * 10_000)
    assert str(refusal.value).isascii()
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    "host", ["10.0.0.5", "::1", "fe80::1", "worker-1", "my_worker.example.com", "host.", "localhost"]
)
def test_hosts(host: str) -> None:
    """IP addresses and names of hosts can be advertised."""
    assert advertised_host(host) == host


@pytest.mark.parametrize(
    "host", ["", "foo..bar", ".a", "a b", "host:80", "[::1]", "http://a", "a/b", "1.2.3", "256.1.1.1", "a\x00b", "ü.de"]
)
def test_refused_hosts(host: str) -> None:
    """What no client can connect to is refused with the rule."""
    with pytest.raises(SettingsError, match=" is not a host: write an IP address, or a name of"):
        advertised_host(host)


@pytest.mark.parametrize("host", ["224.0.0.1", "ff02::1", "fe80::1%eth0"])
def test_addresses_of_no_single_host_are_refused(host: str) -> None:
    """Addresses of a group, or of a network card of this machine, lead no other machine to the worker."""
    with pytest.raises(SettingsError, match="is not the address of one host"):
        advertised_host(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "127.0.0.1", "fe80::1%eth0", "localhost"])
def test_hosts_to_listen_on(host: str) -> None:
    """All addresses of this machine may be listened on, one of them, or one of a name."""
    assert listening_host(host) == host


def test_refused_hosts_to_listen_on() -> None:
    """What cannot be resolved is refused with the rule."""
    with pytest.raises(SettingsError, match="is not a host"):
        listening_host("foo..bar")


@pytest.mark.parametrize("text", ["version-3", "traefik.http.routers.x.rule=Host(`a.b`)", "Zone=Zürich 1", "x" * 255])
def test_tags(text: str) -> None:
    """Tags of other programs pass as they are."""
    assert tag(text) == text


@pytest.mark.parametrize("text", ["", " a", "a ", "a\nb", "a\x00", "\udce9", "x" * 256])
def test_refused_tags(text: str) -> None:
    """Control characters, bytes that are not UTF-8 and endless tags are refused."""
    with pytest.raises(SettingsError, match=" cannot be a tag: a tag has 1 to 255 bytes"):
        tag(text)
