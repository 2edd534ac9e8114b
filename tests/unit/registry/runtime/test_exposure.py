"""Which ports are warned of."""

from __future__ import annotations

import pytest

from registry.runtime.exposure import exposure


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST."])
def test_a_port_of_this_machine_alone_is_not_warned_of(host: str) -> None:
    """Nobody else reaches it, whatever it asks for."""
    assert exposure(host, tls=False, tokens=False) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.5", "gpu1", "localhost.example.com"])
def test_a_port_that_others_reach_is_warned_of(host: str) -> None:
    """Without TLS and tokens anybody may use it; with tokens alone they can be read; TLS is enough to be silent."""
    warning = exposure(host, tls=False, tokens=False)
    assert warning is not None
    assert "without TLS and without tokens" in warning
    assert "--tls-cert" in warning
    assert "--tokens" in warning
    readable = exposure(host, tls=False, tokens=True)
    assert readable is not None
    assert "reads the tokens" in readable
    assert exposure(host, tls=True, tokens=False) is None
    assert exposure(host, tls=True, tokens=True) is None
