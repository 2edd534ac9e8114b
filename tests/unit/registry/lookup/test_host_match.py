"""Which workers a bare port can mean."""

from __future__ import annotations

import pytest

from registry.lookup.host_match import reachable_hosts


@pytest.mark.parametrize(
    ("host_header", "local_address", "worker_host", "meant"),
    [
        ("localhost:12480", "127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1:12480", "127.0.0.1", "localhost", True),
        ("localhost", "::1", "127.0.0.1", True),
        ("[::1]:12480", "::1", "::1", True),
        ("127.0.0.2:12480", "127.0.0.2", "127.0.0.1", False),
        ("gpu7:12480", "10.0.0.7", "10.0.0.7", True),
        ("GPU7.:12480", "10.0.0.7", "gpu7", True),
        ("gpu7:12480", "10.0.0.7", "10.0.0.8", False),
        ("gpu7:12480", "10.0.0.7", "127.0.0.1", False),
        ("", "", "127.0.0.1", False),
    ],
)
def test_a_port_means_workers_at_the_host_that_was_asked(
    host_header: str, local_address: str, worker_host: str, meant: bool
) -> None:
    """A worker is meant if it is registered under the asked name or the address that the name led to."""
    assert (worker_host in reachable_hosts(host_header, local_address)) is meant
