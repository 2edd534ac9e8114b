"""What can go wrong on the way to a Consul."""

from __future__ import annotations


class ConsulError(Exception):
    """The base of these errors; its text is one sentence that names the cause and the cure."""


class ConsulNotFound(ConsulError):
    """No Consul is installed and none could be fetched."""


class FetchFailed(ConsulError):
    """One way to fetch Consul did not work; there may be another."""
