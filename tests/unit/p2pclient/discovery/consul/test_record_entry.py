"""Which answers about an entry of Consul's store are Consul's."""

from __future__ import annotations

import pytest

from p2pclient.discovery.consul.record_entry import Entry, read_entry
from p2pclient.messages import MALFORMED, Answer

INDEX = {"X-Consul-Index": "7"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, INDEX, b'[{"Key": "k", "Value": "e30="}]'), Entry(7, b"{}")),
        (Answer(200, INDEX, b'[{"Value": null}]'), Entry(7, b"")),
        (Answer(404, INDEX, b""), Entry(7, None)),
        (Answer(404, INDEX | {"X-Consul-KnownLeader": "false"}, b""), Entry(7, None, current=False)),
        (Answer(404, INDEX | {"X-Consul-LastContact": "20000"}, b""), Entry(7, None, current=False)),
    ],
)
def test_entries_are_read(answer: Answer, expected: Entry) -> None:
    assert read_entry(answer) == expected


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, {}, b"no such page"),
        Answer(404, {"X-Consul-Index": "-1"}, b""),
        Answer(200, INDEX, b"[]"),
        Answer(200, INDEX, b"{}"),
        Answer(200, INDEX, b'[{"Node": {}}]'),
        Answer(200, INDEX, b'[{"Value": "?"}]'),
        Answer(200, INDEX, b'[{"Value": 3}]'),
        Answer(200, INDEX, b"null"),
    ],
)
def test_what_is_not_consul_s_is_refused(answer: Answer) -> None:
    with pytest.raises(MALFORMED):
        read_entry(answer)
