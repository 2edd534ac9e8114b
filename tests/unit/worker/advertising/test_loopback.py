"""Whether a loopback address may be registered."""

from __future__ import annotations

import pytest

from worker.advertising.loopback import Membership, is_loopback, is_loopback_url, others_take_part, refusal

HERE = "http://127.0.0.1:8500"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "a.localhost", "::ffff:127.0.0.1"])
def test_what_means_the_machine_itself(host: str) -> None:
    """Addresses of 127.0.0.0/8 and ::1, mapped ones, and the names that are set aside for them."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.5", "0.0.0.0", "::", "fd00::1", "localhost.example.com", "gpu-7", ""])
def test_what_does_not(host: str) -> None:
    """All other names and addresses."""
    assert not is_loopback(host)


@pytest.mark.parametrize("url", [HERE, "https://[::1]:8501", "http://localhost:8500", "unix:///run/consul.sock"])
def test_a_consul_that_only_this_machine_reaches(url: str) -> None:
    """On loopback or at a socket file, with one member and one server, which are here."""
    assert is_loopback_url(url)
    assert not others_take_part(url, Membership(1, ["127.0.0.1"]), ())
    assert not others_take_part(url, Membership(0, ["10.0.0.5"]), {"10.0.0.5"})


@pytest.mark.parametrize(
    ("url", "membership", "why"),
    [
        ("http://10.0.0.5:8500", Membership(1, ["10.0.0.5"]), "not on this machine's loopback"),
        ("http://consul:8500", Membership(0, ()), "not on this machine's loopback"),
        (HERE, Membership(3, ["127.0.0.1"]), "has 3 members"),
        (HERE, Membership(0, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]), "has 3 servers"),
        (HERE, Membership(0, ["10.0.0.1"]), "server at 10.0.0.1"),
    ],
)
def test_a_consul_that_others_take_part_in(url: str, membership: Membership, why: str) -> None:
    """Also where the token is shown no members, as one without node:read is."""
    assert why in others_take_part(url, membership, {"10.0.0.5"})


def test_the_refusal_names_the_ways_out() -> None:
    """All three flags, the address and the Consul."""
    sentence = refusal("127.0.0.1", HERE, "has 3 members")
    assert all(part in sentence for part in ("--host", "--advertise", "--allow-loopback", "127.0.0.1", HERE))
