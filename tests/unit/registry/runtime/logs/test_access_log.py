"""Which requests the access log has a line of, and what stands there."""

from __future__ import annotations

import json
import logging
import random

import pytest

from registry.runtime.logs.access_log import PATH_CHARACTERS, AccessLog, stages_ms


def test_a_line_names_what_is_known(caplog: pytest.LogCaptureFixture) -> None:
    """As words for people, and as fields; a value with blanks is quoted, and what is not known is left out."""
    caplog.set_level(logging.INFO)
    AccessLog().write(
        method="POST", path="/a b\n\x1b", status=200, size=75, took_s=0.0123456, request_id="a-1", worker=None,
        **stages_ms({"receive": 0.001, "predict": 0.01}),
    )  # fmt: skip
    (line,) = caplog.records
    text = (
        r'method=POST path="/a b\n\u001b" status=200 bytes=75 ms=12.346 receive_ms=1.0 predict_ms=10.0 request_id=a-1'
    )
    assert line.getMessage() == text
    assert line.__dict__["fields"] == {
        "method": "POST", "path": "/a b\n\x1b", "status": 200, "bytes": 75, "ms": 12.346,
        "receive_ms": 1.0, "predict_ms": 10.0, "request_id": "a-1",
    }  # fmt: skip


def test_a_long_path_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A client does not fill the disk."""
    caplog.set_level(logging.INFO)
    AccessLog().write(method="GET", path="/" * 9000, status=404, size=None, took_s=0, request_id="a")
    assert caplog.records[0].__dict__["fields"]["path"] == "/" * PATH_CHARACTERS
    json.dumps(caplog.records[0].__dict__["fields"])


def test_all_requests_or_a_part_of_them_get_a_line() -> None:
    """With known dice; a request that comes at regular times is neither always chosen nor never."""
    assert all(AccessLog(1.0).wants() for _ in range(100))
    log = AccessLog(0.01, dice=random.Random(7).random)
    chosen = [number for number in range(100_000) if log.wants()]
    assert 900 < len(chosen) < 1100
    assert len({number % 100 for number in chosen}) > 20
