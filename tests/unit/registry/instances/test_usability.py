"""Which registrations can be used, and what is said of the others."""

from __future__ import annotations

import pytest

from registry.backend.entry import read_entry
from registry.instances.instance import Instance
from registry.instances.usability import WEIGHT_AT_MOST, Unusable
from tests.support.consul_health_cases import check, entry

REFUSED = "Get http://10.0.0.1:9001/healthz: dial tcp 10.0.0.1:9001: connect: connection refused"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Address": "[::1]"}, "address '[::1]' is neither an IP address nor a host name"),
        ({"Address": "http://10.0.0.5"}, "address 'http://10.0.0.5' is neither an IP address nor a host name"),
        ({"Address": "a b"}, "address 'a b' is neither an IP address nor a host name"),
        ({"Address": "a\r\nb"}, "address 'a\\r\\nb' is neither an IP address nor a host name"),
        ({"Address": "a\0"}, "address 'a\\x00' is neither an IP address nor a host name"),
        ({"Address": "\ud800"}, "address '\\ud800' is neither an IP address nor a host name"),
        ({"Address": "fe80::1%lo"}, "address 'fe80::1%lo' is neither an IP address nor a host name"),
        ({"Address": "a" * 300}, f"address '{'a' * 59}... is neither an IP address nor a host name"),
        ({"Port": 70000}, "port 70000 is not from 1 to 65535"),
        ({"Port": -1}, "port -1 is not from 1 to 65535"),
        ({"Port": 0}, "port 0 is not from 1 to 65535"),
        ({"Meta": {"boot": "b\r\nX: y"}}, "boot id 'b\\r\\nX: y' cannot travel in a header"),
        ({"Meta": {"version": "1\x1b[2J"}}, "version '1\\x1b[2J' holds control characters"),
        ({"ID": "w\x1b[2J"}, "id 'w\\x1b[2J' holds control characters"),
    ],
)
def test_what_cannot_be_used_is_left_out_with_the_reason(fields: dict[str, object], reason: str) -> None:
    """An address, port, id, version or boot id that would break something leaves its instance out, and nothing else."""
    found, _ = read_entry(entry(**fields))
    assert found == Unusable(str(fields.get("ID", "web-1")), reason)


@pytest.mark.parametrize(
    ("given", "weight"),
    [(65_535, 65_535), (1 << 50, WEIGHT_AT_MOST), (0, 1), (-1, 1), (float("inf"), 1), (True, 1), ("3", 1)],
)
def test_weights_are_bounded(given: object, weight: int) -> None:
    """No weight is beyond Consul's own bounds, so that no instance takes all turns."""
    found, _ = read_entry(entry(Weights={"Passing": given}))
    assert isinstance(found, Instance)
    assert found.weight == weight


@pytest.mark.parametrize(
    ("checks", "refused"),
    [
        ([check("critical") | {"Output": REFUSED}], True),
        ([check("critical") | {"Output": REFUSED}, check("passing", "ttl")], True),
        ([check("passing") | {"Output": REFUSED}, check("critical", "ttl")], False),
        ([check("critical") | {"Output": ""}], False),
        ([check("critical") | {"Output": None}], False),
        ([check("critical") | {"Output": "HTTP GET http://10.0.0.1/: 503 Service Unavailable Output: x"}], False),
        ([check("critical") | {"Output": REFUSED, "Type": "ttl"}], False),
        ([check("warning") | {"Output": REFUSED}], False),
    ],
)
def test_a_refused_connection_is_read_from_the_check(checks: list[dict[str, str]], refused: bool) -> None:
    """An instance refuses connections if it is critical by a check that says so; a heartbeat's note does not count."""
    found, _ = read_entry(entry(*checks))
    assert isinstance(found, Instance)
    assert found.refused is refused
