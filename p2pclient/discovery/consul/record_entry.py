"""Reads Consul's answer about one entry of its key/value store; pure."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass

from p2pclient.bounds import INDEX_AT_MOST, decimal
from p2pclient.discovery.consul.health_answer import is_current
from p2pclient.messages import Answer


@dataclass(frozen=True, slots=True)
class Entry:
    """What an answer says. `value` None: there is no such entry. `current`: the server is in touch with the leader."""

    index: int
    value: bytes | None
    current: bool = True


def read_entry(answer: Answer) -> Entry:
    """The entry of a 200, or none of a 404; raises one of MALFORMED where the answer is not Consul's."""
    index = decimal(answer.headers["X-Consul-Index"], most=INDEX_AT_MOST)
    value = None
    if answer.status == 200:
        (found,) = answer.json()
        value = b64decode(found["Value"] or "", validate=True)
    return Entry(index, value, is_current(answer.headers))
