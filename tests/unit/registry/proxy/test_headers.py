"""Which headers a proxy sends on, as sentences and over all headers there can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from registry.proxy.headers import request_headers, response_headers

NAMES = st.sampled_from(
    ["Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Host",
     "Content-Length", "Expect", "Via", "X-Forwarded-For", "Cookie", "X-Own", "x-own", "Accept"]
)  # fmt: skip
FIELDS = st.lists(st.tuples(NAMES.map(str.encode), st.sampled_from([b"", b"a", b"close, x-own", b"\xe9", b"7"])))


def asked(*fields: tuple[bytes, bytes], peer: str = "192.0.2.7", expects: bool = False) -> CIMultiDict[str]:
    return request_headers(fields, version="1.1", peer=peer, host="cats", scheme="http", expects=expects)


def test_what_is_added() -> None:
    """Of a bare request the worker learns who asked, for which host, by which scheme, and through whom."""
    assert list(asked((b"Host", b"cats")).items()) == [
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Host", "cats"),
        ("X-Forwarded-Proto", "http"),
        ("Via", "1.1 p2p-proxy"),
    ]


def test_who_asked_is_added_behind_those_who_are_named() -> None:
    """X-Forwarded-For grows, from however many lines it came."""
    headers = asked((b"X-Forwarded-For", b"a, b"), (b"x-forwarded-for", b"c"))
    assert headers.getall("X-Forwarded-For") == ["a, b, c, 192.0.2.7"]


def test_an_unknown_peer_is_not_made_up() -> None:
    """Where the client's address is not known, X-Forwarded-For is not sent."""
    assert "X-Forwarded-For" not in asked(peer="")


@pytest.mark.parametrize("expects", [True, False])
def test_expect_is_sent_only_for_a_client_that_waits(expects: bool) -> None:
    """`Expect` goes with a body that waits for it, and else not: the worker would be waited for in vain."""
    assert ("Expect" in asked((b"Expect", b"100-continue"), expects=expects)) is expects


def test_length_does_not_count_beside_chunks() -> None:
    """Content-Length beside Transfer-Encoding is dropped (RFC 9112, 6.3), or requests could be smuggled."""
    assert "Content-Length" not in asked((b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked"))


def test_names_are_spelled_as_they_came() -> None:
    """Neither case nor order of what passes is changed."""
    fields = [(b"eTag", b"1"), (b"X-B", b"2"), (b"x-a", b"3"), (b"X-b", b"4")]
    assert [name for name, _ in response_headers(fields, version="1.0").items()] == [
        "eTag",
        "X-B",
        "x-a",
        "X-b",
        "Via",
    ]


@given(FIELDS)
def test_all_else_passes_and_nothing_of_the_connection_does(fields: list[tuple[bytes, bytes]]) -> None:
    """An answer's headers are those received less those of the connection, in order, and Via."""
    named = {item.strip() for name, value in fields if name == b"Connection" for item in value.split(b",")}
    kept = response_headers(fields, version="1.1")
    one_connection = {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
    chunked = any(name == b"Transfer-Encoding" for name, _ in fields)
    expected = [
        name.decode()
        for name, _ in fields
        if (low := name.lower()) not in one_connection | named
        and not low.startswith(b"proxy-")
        and not (chunked and low == b"content-length")
    ]
    assert [name for name, _ in kept.items()] == [*expected, "Via"]
    assert all(value.isprintable() for _, value in kept.items())


@given(st.binary())
def test_any_value_can_be_written(value: bytes) -> None:
    """Bytes that are no UTF-8 are read as Latin-1: no character is left that cannot be encoded."""
    sent = response_headers([(b"X", value)], version="1.1")["X"].encode()
    assert sent in (value, value.decode("latin-1").encode())
