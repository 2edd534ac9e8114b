"""The errors of calls to Consul, each with a sentence that names the cause and what to do.

RegistryError (registry.runtime.errors)
├── ConsulUnavailable      no answer, or an unusable one (5xx, malformed JSON)
├── ConsulRefused          Consul understood and refused: a bad request, an unknown certificate, a wrong password
│   └── TokenRefused       the token does not have the right to do this, or does not exist
└── Forgotten              the agent does not know this service or check (any more): register again
"""

from __future__ import annotations

from registry.runtime.errors import RegistryError


class ConsulUnavailable(RegistryError):
    """Consul did not answer, or answered with a server error: another try is worthwhile."""


class ConsulRefused(RegistryError):
    """Consul answered and refused: another try does not help until the request or the set-up has changed."""


class TokenRefused(ConsulRefused):
    """The token lacks the right; an agent that has just started and reaches no server answers the same."""


class Forgotten(RegistryError):
    """The agent does not know the service or check that was named."""
