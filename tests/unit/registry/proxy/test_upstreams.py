"""Whom the proxy asks next, and how a list of workers is read."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.instances.instance import Instance
from registry.proxy.upstreams import FixedWorkers, parse_workers
from registry.runtime.errors import SettingsError

IDS = "abcde"


def workers(*weights: int) -> FixedWorkers:
    return FixedWorkers(
        [Instance("", i, "h", n + 1, weight=w) for n, (i, w) in enumerate(zip(IDS, weights, strict=False))]
    )


def test_all_take_turns() -> None:
    """Without exceptions it is the rotation."""
    three = workers(1, 1, 1)
    assert Counter(three.next(()).id for _ in range(9)) == {"a": 3, "b": 3, "c": 3}  # type: ignore[union-attr]


def test_those_that_are_left_share_evenly() -> None:
    """The turns of one that is passed over do not all fall to its neighbour."""
    three = workers(1, 1, 1)
    assert Counter(three.next({"b"}).id for _ in range(8)) == {"a": 4, "c": 4}  # type: ignore[union-attr]


@given(st.lists(st.integers(1, 9), max_size=5), st.sets(st.sampled_from(IDS)))
def test_one_is_found_where_there_is_one(weights: list[int], exclude: set[str]) -> None:
    """Whatever the weights: a worker that is not excluded, or None where all are."""
    chosen = workers(*weights).next(exclude)
    left = set(IDS[: len(weights)]) - exclude
    assert (chosen.id in left) if chosen else not left


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("20001", ["127.0.0.1:20001"]),
        ("20001,20002", ["127.0.0.1:20001", "127.0.0.1:20002"]),
        ("10.0.0.5:80, worker_2.lan:81", ["10.0.0.5:80", "worker_2.lan:81"]),
        ("[::1]:20001", ["[::1]:20001"]),
        ("http://h:80", ["h:80"]),
    ],
)
def test_lists_of_workers(text: str, addresses: list[str]) -> None:
    """Ports of this machine, and host:port of others."""
    assert [worker.address for worker in parse_workers(text)] == addresses


def test_a_worker_of_a_list_may_speak_tls() -> None:
    """https:// before the address says so."""
    workers = parse_workers("20001,https://gpu1:8443,https://[::1]:8444")
    assert [w.origin for w in workers] == ["http://127.0.0.1:20001", "https://gpu1:8443", "https://[::1]:8444"]


@pytest.mark.parametrize(
    "text",
    ["", ",", "20001,", "0", "65536", "-1", "²", "http://h:80/", "ftp://h:80", "https://", "h", "h:", ":80",
     "::1:80", "[::1]", "h:80/x", "h@i:80", "20001,20001", "20001,127.0.0.1:20001"],
)  # fmt: skip
def test_what_is_no_list_of_workers(text: str) -> None:
    """Anything else is refused with a sentence that names the flag."""
    with pytest.raises(SettingsError, match="--workers"):
        parse_workers(text)
