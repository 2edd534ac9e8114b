"""Which request ids are taken, and how they are found in the bytes of a head."""

from __future__ import annotations

import pytest

from registry.runtime.request_id import RequestIds, sent_request_id, without_request_id


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("call-1", "call-1"),
        ("a" * 128, "a" * 128),
        ("a" * 129, ""),
        ("two words", ""),
        ("naïve", ""),
        ("line\nbreak", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_an_id_is_taken_where_it_can_stand_in_a_header_and_in_a_log_line(text: str | None, taken: str) -> None:
    """Anything else is replaced: a log line must stay one line, and no longer than it has to be."""
    assert sent_request_id(text) == taken


@pytest.mark.parametrize(
    ("head", "rest", "request_id"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: a1\r\nAccept: */*\r\n\r\n", b"Host: x\r\nAccept: */*", "a1"),
        (b"GET / HTTP/1.1\r\nx-request-id: a1\r\nHost: x\r\n\r\n", b"Host: x", "a1"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"Host: x", ""),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: a b\r\n\r\n", b"Host: x\r\nX-Request-Id: a b", ""),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: a", b"Host: x\r\nX-Request-Id: a", ""),
    ],
)
def test_the_line_of_the_id_is_taken_out_of_a_head(head: bytes, rest: bytes, request_id: str) -> None:
    """What is left is the same for each request of a client; a line that is not plain stays where it is."""
    left, found = without_request_id(head)
    assert found == request_id
    assert left.removeprefix(b"GET / HTTP/1.1\r\n").removesuffix(b"\r\n\r\n") == rest


def test_made_ids_differ_also_between_processes() -> None:
    """A counter behind a random prefix."""
    ids, others = RequestIds(), RequestIds()
    assert len({ids.new(), ids.new(), others.new(), others.new()}) == 4
